"""Callables kept as values: callback lists, bound methods, partials, registries, handlers."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "a list of callbacks is called in order",
        "log = []\ncallbacks = [log.append, lambda x: log.append(x * 2)]",
        "for c in callbacks: c(1)",
        "callbacks.append(callbacks[0])",
        "for c in callbacks: c(5)\nlog, callbacks[0] is callbacks[2]",
    ),
    scenario(
        "a bound method keeps its instance",
        "class C:\n    def __init__(self): self.n = 0\n    def up(self): self.n += 1; return self.n\nc = C(); up = c.up",
        "up()",
        "up(); c.n += 10",
        "up(), c.n, up.__self__ is c, up == c.up, up.__func__ is C.up",
    ),
    scenario(
        "a bound method of a list and one of a dict",
        "xs = []; d = {'a': 1}; put = xs.append; get = d.get",
        "put(1); put(get('a'))",
        "d['b'] = put.__self__",
        "xs, get('b') is xs, put.__self__ is xs, get.__self__ is d",
    ),
    scenario(
        "a bound method of an instance that no name has",
        """
        class Counter:
            n = 0
            def __call__(self): self.n += 1; return self.n
            def show(self): return self.n
        tick = Counter().show.__self__
        show = tick.show; del tick
        """,
        "show.__self__()",
        "show.__self__(), show()",
        "show()",
    ),
    scenario(
        "a partial's arguments are the notebook's own",
        "from functools import partial\nlog = []\ndef note(where, x, *, tag='t'): where.append((tag, x))\np = partial(note, log)",
        "p(1); q = partial(p, tag='q')",
        "q(2); log.append('plain')",
        "log, q.args[0] is log, q.func is note, q.keywords",
    ),
    scenario(
        "a partial of a bound method and a partial of a class",
        """
        from functools import partial
        class P:
            def __init__(self, x, y=0): self.x = x; self.y = y
            def add(self, a, b): return self.x + a + b
        """,
        "make = partial(P, y=5); p = make(1); add = partial(p.add, 10)",
        "p.x = 100",
        "add(1), p.y, add.func.__self__ is p, make.func is P",
    ),
    scenario(
        "a partialmethod",
        """
        from functools import partialmethod
        class S:
            on = None
            def put(self, v): self.on = v; return self
            start = partialmethod(put, True)
        s = S()
        """,
        "s.start() is s",
        "s.on, type(vars(S)['start']).__name__",
    ),
    scenario(
        "a registry filled by a decorator over cells",
        "registry = {}\ndef register(name):\n    def deco(f):\n        registry[name] = f\n        return f\n    return deco",
        "@register('add')\ndef add(a, b): return a + b",
        "@register('mul')\ndef mul(a, b): return a * b",
        "registry['add'] is add, {k: f(3, 4) for k, f in registry.items()}",
        "def add(a, b): return 'new'",
        "registry['add'](1, 2), add(1, 2), registry['add'] is add",
    ),
    scenario(
        "handlers of an emitter, one removed",
        """
        from functools import partial
        class Emitter:
            def __init__(self): self.handlers = {}
            def on(self, event, f): self.handlers.setdefault(event, []).append(f); return f
            def off(self, event, f): self.handlers[event].remove(f)
            def emit(self, event, *a): return [f(*a) for f in self.handlers.get(event, [])]
        e = Emitter()
        """,
        """
        first = e.on('x', lambda v: ('first', v))
        @partial(e.on, 'x')
        def second(v): return 'second', v
        """,
        "e.emit('x', 1)",
        "e.off('x', first)",
        "e.emit('x', 2), e.handlers['x'] == [second]",
    ),
    scenario(
        "an object registers its own method",
        """
        class Bus:
            subs = []
        class Item:
            def __init__(self, n): self.n = n; Bus.subs.append(self.hit)
            def hit(self): self.n += 1; return self.n
        a, b = Item(0), Item(10)
        """,
        "[s() for s in Bus.subs]",
        "Bus.subs.pop(0)()",
        "a.n, b.n, Bus.subs == [b.hit], Bus.subs[0].__self__ is b",
    ),
    scenario(
        "a dispatch table of methods by name",
        """
        class Calc:
            def __init__(self): self.acc = 0
            def add(self, x): self.acc += x
            def sub(self, x): self.acc -= x
        c = Calc(); table = {n: getattr(c, n) for n in ('add', 'sub')}
        """,
        "table['add'](5)",
        "for op, x in [('add', 2), ('sub', 10)]: table[op](x)",
        "c.acc",
    ),
    scenario(
        "functions as keys",
        "def f(): return 'f'\ndef g(): return 'g'\nnames = {f: 'F', len: 'L'}",
        "names[g] = 'G'; calls = {k(): v for k, v in names.items() if k is not len}",
        "calls, names[f], names[len], f in names",
    ),
    scenario(
        "callable instances, their state and callable()",
        """
        class Adder:
            def __init__(self, n): self.n = n; self.calls = 0
            def __call__(self, x): self.calls += 1; return x + self.n
        add5 = Adder(5); fs = [add5, add5]
        """,
        "[f(1) for f in fs]",
        "list(map(add5, range(3)))",
        "add5.calls, callable(add5), callable(5)",
    ),
    scenario(
        "a composed pipeline",
        "from functools import reduce\ndef compose(*fs): return lambda x: reduce(lambda v, f: f(v), fs, x)\nscale = 2",
        "pipe = compose(str.strip, int, lambda v: v * scale, [10, 20, 30].__getitem__)",
        "pipe(' 1 ')",
        "scale = 1",
        "pipe(' 1 '), [c.cell_contents is pipe for c in pipe.__closure__]",
    ),
    scenario(
        "a memoizing decorator with its store in a cell",
        """
        def memo(f):
            store = {}
            def g(*a):
                if a not in store: store[a] = f(*a)
                return store[a]
            g.store = store
            return g
        """,
        "@memo\ndef slow(x): ran.append(x); return [x]\nran = []",
        "a = slow(1)",
        "slow(1) is a, slow(2), ran, slow.store is slow.__closure__[1].cell_contents",
    ),
    scenario(
        "undo as a stack of closures",
        "doc = []; undo = []\ndef put(x):\n    doc.append(x)\n    undo.append(lambda: doc.remove(x))",
        "put('a'); put('b')",
        "undo.pop()()",
        "put('c'); doc",
        "while undo: undo.pop()()\ndoc",
    ),
    scenario(
        "an observer that holds the notebook's dict",
        """
        state = {}
        class Watch:
            def __init__(self, target, f): self.target = target; self.f = f
            def fire(self): return self.f(self.target)
        w = Watch(state, lambda t: sorted(t.items()))
        """,
        "state['k'] = 1",
        "w.fire()",
        "w.target['z'] = 2; w.f = len",
        "w.fire(), state, w.target is state",
    ),
    scenario(
        "an ExitStack collects callbacks within a cell",
        "from contextlib import ExitStack\nlog = []",
        "with ExitStack() as s:\n    s.callback(log.append, 'last'); s.callback(log.append, 'first')",
        "log",
        own=("s",),
    ),
    scenario(
        "a contextmanager function",
        """
        from contextlib import contextmanager
        log = []
        @contextmanager
        def span(n):
            log.append(f'+{n}')
            try: yield n.upper()
            finally: log.append(f'-{n}')
        """,
        "with span('a') as a, span('b'): pass",
        "with span('c'): 1 / 0",
        "log, a",
    ),
    scenario(
        "sort keys and comparison functions",
        """
        from functools import cmp_to_key
        rank = {'low': 0, 'high': 1}
        def cmp(a, b): return rank[a] - rank[b]
        key = cmp_to_key(cmp)
        """,
        "sorted(['high', 'low'], key=key)",
        "rank['low'] = 5",
        "sorted(['high', 'low'], key=key), max(rank, key=rank.get)",
    ),
    scenario(
        "unbound methods, class methods and staticmethods as values",
        """
        class C:
            def a(self): return 'a', self
            @classmethod
            def b(cls): return cls
            @staticmethod
            def c(x): return x
        fs = [C.a, C.b, C.c]
        """,
        "fs[0](1), fs[1]() is C, fs[2](3)",
        "C.c = staticmethod(lambda x: -x)",
        "fs[2](3), C.c(3), fs[0] is C.a, fs[1] == C.b",
    ),
    scenario(
        "a method put on one instance",
        "import types\nclass C: n = 1\nc, d = C(), C()",
        "c.go = types.MethodType(lambda self: self.n, c)",
        "c.n = 7",
        "c.go(), hasattr(d, 'go'), c.go.__self__ is c",
    ),
    scenario(
        "a finalizer of the notebook's own called by hand",
        "cleanups = []\ndef defer(f, *a): cleanups.append((f, a))",
        "out = []; defer(out.append, 1); defer(out.extend, [2, 3])",
        "for f, a in reversed(cleanups): f(*a)",
        "out",
    ),
    scenario(
        "types as factories",
        "makers = {'list': list, 'dict': dict, 'int': int, 'mine': type('Mine', (list,), {})}",
        "made = {k: m() for k, m in makers.items()}",
        "made['mine'].append(1)",
        "made, type(made['mine']) is makers['mine']",
    ),
]
