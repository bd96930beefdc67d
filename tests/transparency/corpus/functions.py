"""Functions of the notebook: what they close over, remember, name, and that they are who they were."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "a function calls a function",
        "def g(x): return x + 1\ndef f(x): return g(x) * 2",
        "f(1)",
        "def g(x): return x - 1",
        "f(1)",
    ),
    scenario("a function made in a cell is used in the next", "k = 2", "def f(x): return x * k", "f(4)", "k = 3", "f(4)"),
    scenario("a function keeps its identity", "def f(): pass\ng = f; fs = [f]", "f()", "f is g, fs[0] is f"),
    scenario(
        "a function redefined leaves the old one to its other name",
        "def f(): return 'old'\ng = f",
        "def f(): return 'new'",
        "f(), g(), f is g",
    ),
    scenario(
        "an attribute set on a function",
        """
        def f():
            f.calls += 1
            return f.calls
        f.calls = 0; g = f
        """,
        "f()",
        "f(); f.tag = [1]",
        "g.calls, g.tag",
    ),
    scenario(
        "two closures share one cell",
        """
        def pair():
            value = 0
            def get(): return value
            def put(x):
                nonlocal value
                value = x
            return get, put
        get, put = pair()
        """,
        "put(5)",
        "get()",
        "put([1]); get().append(2)",
        "get(), get.__closure__[0] is put.__closure__[0]",
    ),
    scenario(
        "two closures of two calls do not share",
        """
        def make(n):
            def f():
                nonlocal n
                n += 1
                return n
            return f
        a, b = make(0), make(100)
        """,
        "a(); a()",
        "b()",
        "a(), b()",
    ),
    scenario(
        "lambdas made in a loop share the loop's variable",
        "fs = [lambda: i for i in range(3)]",
        "[f() for f in fs]",
        "len({f.__code__ for f in fs})",
    ),
    scenario(
        "lambdas that keep each value by default",
        "fs = [lambda x, i=i: x + i for i in range(3)]",
        "[f(10) for f in fs]",
        "fs[1].__defaults__",
    ),
    scenario(
        "several lambdas on one line",
        "inc, dec, dbl = (lambda x: x + 1), (lambda x: x - 1), (lambda x: x * 2)",
        "inc(5), dec(5), dbl(5)",
        "ops = {'+': inc, '-': dec}",
        "ops['-'](1)",
    ),
    scenario(
        "two equal lambdas on one line with different globals read",
        "a, b = 1, 2; f, g = (lambda: a), (lambda: b)",
        "f(), g()",
        "a, b = 10, 20",
        "f(), g()",
    ),
    scenario(
        "a lambda in a dict in a list",
        "hooks = [{'on': lambda x: x + k}]; k = 1",
        "hooks[0]['on'](1)",
        "k = 5",
        "hooks[0]['on'](1)",
    ),
    scenario(
        "a mutable default remembers",
        "def f(x, seen=[]):\n    seen.append(x)\n    return list(seen)",
        "f(1)",
        "f(2)",
        "f(3), f.__defaults__",
    ),
    scenario(
        "keyword-only arguments and their defaults",
        "opts = {'deep': []}\ndef f(a, /, b=2, *args, c, d=opts, **kw): return a, b, args, c, d, kw",
        "f(1, c=3)",
        "opts['deep'].append(1)",
        "f(1, 2, 3, c=4, z=5), f.__kwdefaults__['d'] is opts",
    ),
    scenario("defaults replaced by assignment", "def f(x=1): return x\ng = f", "f.__defaults__ = (5,)", "g()"),
    scenario(
        "a decorator with its own state",
        """
        import functools
        def counted(f):
            @functools.wraps(f)
            def inner(*a):
                inner.n += 1
                return f(*a)
            inner.n = 0
            return inner
        @counted
        def add(a, b):
            "Adds."
            return a + b
        """,
        "add(1, 2)",
        "add(3, 4)",
        "add.n, add.__name__, add.__doc__, add.__wrapped__(5, 6)",
    ),
    scenario(
        "stacked decorators run once",
        """
        log = []
        def d(tag):
            def deco(f):
                log.append(tag)
                return lambda: (tag, f())
            return deco
        """,
        "@d('outer')\n@d('inner')\ndef f(): return 'f'",
        "f(), log",
    ),
    scenario(
        "a generator function used in another cell",
        """
        def up_to(n):
            i = 0
            while i < n:
                got = yield i
                i += got or 1
        """,
        "list(up_to(4))",
        "def twice():\n    yield from up_to(2)\n    yield from up_to(2)",
        "list(twice())",
    ),
    scenario(
        "an async function awaited in another cell",
        """
        import asyncio
        async def f(x):
            await asyncio.sleep(0)
            return x * k
        k = 3
        """,
        "await f(2)",
        "async def g(): return [await f(i) for i in range(3)]",
        "await g()",
    ),
    scenario(
        "an async generator function",
        "async def agen(n):\n    for i in range(n):\n        yield i",
        "[x async for x in agen(3)]",
        "{x: x async for x in agen(2)}",
    ),
    scenario(
        "recursion",
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)",
        "fact(20)",
        "old = fact\ndef fact(n): return 0",
        "old(3)",
    ),
    scenario(
        "mutual recursion",
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)",
        "even(10), odd(7)",
        "def odd(n): return 'broken'",
        "even(3)",
    ),
    scenario(
        "a local function that calls itself",
        """
        def outer(n):
            def inner(k): return k if k < 1 else inner(k - 1)
            return inner
        f = outer(3)
        """,
        "f(5)",
        "f.__closure__[0].cell_contents is f",
    ),
    scenario(
        "an lru_cache keeps its contents",
        """
        import functools
        calls = []
        @functools.lru_cache(maxsize=8)
        def sq(x):
            calls.append(x)
            return x * x
        """,
        "sq(2); sq(3)",
        "sq(2); sq(4)",
        "calls, sq.cache_info()",
    ),
    scenario(
        "an lru_cache is cleared",
        """
        import functools
        @functools.cache
        def f(x): return [x]
        first = f(1)
        """,
        "f(1) is first",
        "f.cache_clear()",
        "f(1) is first, f.cache_info().currsize",
    ),
    scenario(
        "a partial and its function",
        "import functools\ndef f(a, b, c=0): return a, b, c\np = functools.partial(f, 1, c=5); q = p",
        "p(2)",
        "p.keywords['c'] = 9",
        "q(2), q.func is f, p is q",
    ),
    scenario(
        "a singledispatch function gets another case",
        """
        import functools
        @functools.singledispatch
        def show(x): return 'any'
        @show.register
        def _show_int(x: int): return 'int'
        """,
        "show(1), show('')",
        "@show.register(list)\ndef _show_list(x): return 'list of ' + ', '.join(map(show, x))",
        "show([1, 'a'])",
    ),
    scenario(
        "a function made by exec",
        "exec('def made(x):\\n    return x * factor')\nfactor = 3",
        "made(2)",
        "factor = 5",
        "made(2), made.__name__",
    ),
    scenario("a function made by eval", "f = eval('lambda x: x + 1')", "f(1)", "g = f", "g(2), f is g"),
    scenario(
        "a function of types.FunctionType",
        """
        import types
        def f(): return k
        g = types.FunctionType(f.__code__, {'k': 'private'}, 'g')
        k = 'notebook'
        """,
        "f(), g()",
        "g.__globals__['k'] = 'new'",
        "f(), g()",
    ),
    scenario(
        "annotations and docstrings",
        "def f(a: int, b: 'str' = 'x') -> list[int]:\n    '''Doc of f.'''\n    return [a]",
        "f.__annotations__, f.__doc__",
        "f.__doc__ = 'New.'; f.__annotations__['a'] = float",
        "f.__doc__, f.__annotations__",
    ),
    scenario(
        "annotated names of the notebook",
        "x: int = 1\ndef f(): return __annotations__",
        "for i in range(2):\n    y: 'list of x' = [x]",
        "z: float",
        "list(__annotations__.items()), f() is __annotations__",
    ),
    scenario(
        "a traceback printed, the frames of a function from another cell",
        "import traceback\ndef f(x):\n    return 1 // x",
        "def g(x):\n    return [f(x)]",
        "try: g(0)\nexcept ZeroDivisionError: print(traceback.format_exc())",
        "g(0)",
    ),
    scenario(
        "inspect sees signature and source",
        """
        import inspect
        def f(a, *, b=2):
            # a comment
            return a + b
        """,
        "str(inspect.signature(f))",
        "inspect.getsource(f)",
        "inspect.getsourcelines(f)[1]",
    ),
    scenario(
        "a function's name and qualified name",
        """
        def outer():
            def inner(): pass
            return inner
        f = outer()
        """,
        "f.__name__, f.__qualname__, f.__module__",
        "f.__name__ = 'renamed'",
        "f.__name__",
    ),
    scenario(
        "a code object is replaced", "def f(): return 1\ndef g(): return 2\nh = f", "f.__code__ = g.__code__", "h(), f is h"
    ),
    scenario(
        "a function that returns itself and one that is in its own attribute",
        "def f(): return f\nf.me = f",
        "f() is f",
        "f.me.n = 1",
        "f.n, f.me is f",
    ),
    scenario(
        "a closure over a loop variable changed later",
        """
        def make():
            fs = []
            for i in range(3):
                fs.append(lambda: i)
            return fs
        fs = make()
        """,
        "[f() for f in fs]",
        "fs[0].__closure__[0].cell_contents = 'set'",
        "[f() for f in fs]",
    ),
    scenario(
        "a closure whose variable is not bound yet",
        """
        def make():
            def early(): return later
            def bind():
                nonlocal later
                later = 'now'
            if False: later = None
            return early, bind
        early, bind = make()
        """,
        "try: early()\nexcept NameError as e: print(type(e).__name__)",
        "bind()",
        "early()",
    ),
    scenario(
        "callbacks sorted and mapped",
        "weights = {'a': 3, 'b': 1}\nkey = weights.get\nnames = ['a', 'b']",
        "sorted(names, key=key)",
        "weights['a'] = 0",
        "sorted(names, key=key)",
    ),
    scenario(
        "operator helpers",
        """
        import operator
        get = operator.itemgetter('a', 'b'); at = operator.attrgetter('real'); call = operator.methodcaller('upper')
        """,
        "get({'a': 1, 'b': 2}), at(3), call('x')",
        "g2 = get",
        "g2({'a': 0, 'b': 0}), get is g2",
    ),
    scenario(
        "a builtin and a method under another name",
        "say = print; shout = str.upper; put = [].append",
        "say(shout('hi'))",
        "put(1); put.__self__",
    ),
    scenario(
        "a function with a try, a finally and a with",
        """
        log = []
        def f(x):
            try:
                return 1 // x
            except ZeroDivisionError:
                return 'zero'
            finally:
                log.append(x)
        """,
        "f(1), f(0)",
        "log",
    ),
    scenario(
        "a global function named as a local one",
        """
        def helper(): return 'global'
        def f():
            helper = lambda: 'local'
            return helper()
        """,
        "f(), helper()",
        "helper = lambda: 'new'",
        "f(), helper()",
    ),
]
