"""Which names a cell reads: every way of Python and IPython to name a variable of the notebook."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "a list comprehension's source and its condition", "xs = [1, 2, 3]; low = 1", "[x for x in xs if x > low]", "xs.append(4)"
    ),
    scenario(
        "a comprehension's variable hides a global of the same name",
        "x = 'outer'; xs = [1, 2]",
        "ys = [x * 2 for x in xs]",
        "x, ys",
    ),
    scenario("a nested comprehension", "m = [[1, 2], [3]]; k = 10", "flat = [v * k for row in m for v in row]", "flat"),
    scenario("a generator expression consumed in its cell", "xs = range(5); k = 2", "total = sum(x * k for x in xs)", "total"),
    scenario("a walrus in a condition", "xs = [1, 2, 3]", "if (n := len(xs)) > 2: big = True", "n, big"),
    scenario(
        "a walrus in a comprehension binds a global", "xs = [1, 5, 2]", "found = [y for x in xs if (y := x * 2) > 3]", "y, found"
    ),
    scenario(
        "a class body reads globals and its own names",
        "base = 10",
        """
        class C:
            k = base
            base = base + 1
            both = (k, base)
        """,
        "C.k, C.base, C.both, base",
    ),
    scenario(
        "a method reads the global, not the class's name",
        "k = 'global'",
        """
        class C:
            k = 'class'
            def read(self): return k
        """,
        "k = 'changed'",
        "C().read()",
    ),
    scenario(
        "a function in a function reads a global two levels up",
        "k = 1",
        """
        def outer():
            def inner():
                return k
            return inner
        """,
        "k = 2",
        "outer()()",
    ),
    scenario(
        "a global statement in a function rebinds the notebook's name",
        """
        count = 0
        def bump():
            global count
            count += 1
        """,
        "bump(); bump()",
        "bump()",
        "count",
    ),
    scenario(
        "a global statement makes a name that was not there",
        "def make():\n    global fresh\n    fresh = [1]",
        "make()",
        "fresh.append(2)",
        "fresh",
    ),
    scenario("a global statement deletes a name", "x = 1\ndef drop():\n    global x\n    del x", "drop()", "'x' in globals()"),
    scenario(
        "a nonlocal counter goes on",
        """
        def counter():
            n = 0
            def tick():
                nonlocal n
                n += 1
                return n
            return tick
        tick = counter()
        """,
        "tick()",
        "tick()",
        "tick()",
    ),
    scenario(
        "an f-string with a format spec from a variable",
        "x = 3.14159; width = 8; digits = 2",
        "f'{x:{width}.{digits}f}|{x!r:>10}'",
        "f'{x=}'",
    ),
    scenario(
        "str.format with names given as a mapping", "a = 1; b = 2", "'{a}-{b}'.format(**globals())", "'{a}'.format_map({'a': a})"
    ),
    scenario("a % format with a mapping of all names", "a = 1", "'%(a)s' % globals()", "'%(a)s' % locals()"),
    scenario("augmented assignment reads and writes", "n = 1; s = 'a'; xs = [1]", "n += 1; s *= 3; xs += [n]", "n, s, xs"),
    scenario(
        "augmented assignment of an item and an attribute",
        "class C: n = 0\nc = C(); d = {'k': 1}",
        "c.n += 5; d['k'] -= 1",
        "c.n, C.n, d",
    ),
    scenario(
        "a subscript target reads its container and its index",
        "d = {}; key = 'k'; value = [1]",
        "d[key] = value",
        "d['k'] is value",
    ),
    scenario("a for loop's target is a subscript", "d = {}", "for d['i'] in range(3): pass", "d"),
    scenario("a loop variable stays after the loop", "xs = [1, 2]", "for i, x in enumerate(xs): pass", "i, x"),
    scenario(
        "a decorator and its argument",
        "tag = 'T'\ndef mark(t):\n    return lambda f: (t, f())",
        "@mark(tag)\ndef v():\n    return tag.lower()",
        "v",
    ),
    scenario("a default argument reads when the cell runs", "k = 1", "def f(x=k): return x, k", "k = 2", "f()"),
    scenario(
        "an annotation reads a name",
        "class T: pass",
        "def f(x: T) -> 'T': return x\nv: T = T()",
        "f.__annotations__['x'] is T, type(v) is T, f.__annotations__['return']",
    ),
    scenario(
        "match on a value, a class and a mapping",
        """
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
            y: int
        thing = P(1, 2)
        """,
        """
        match thing:
            case P(x=1, y=found): kind = 'P'
            case {'k': found}: kind = 'map'
        """,
        "thing = {'k': [1]}",
        """
        match thing:
            case P(): kind = 'P again'
            case {'k': [first, *rest]} if rest == []: kind = 'list'
        """,
        "kind, found, first, rest",
    ),
    scenario(
        "match on a dotted constant",
        "class Color: RED = 1\nc = 1",
        "match c:\n    case Color.RED: name = 'red'\n    case _: name = 'other'",
        "name",
    ),
    scenario("a star-import brings names", "from math import *", "floor(pi)", "r = sqrt(16)", "r, 'tau' in globals()"),
    scenario("a star-import shadows a global", "pi = 'mine'", "was = pi\nfrom math import *", "was, round(pi, 2)"),
    scenario("a name deleted in its cell and bound anew", "x = [1]", "y = x; del x; x = 2", "x, y"),
    scenario(
        "del of an item and of an attribute",
        "class C: pass\nc = C(); c.a = 1; d = {1: 2, 3: 4}; xs = [0, 1, 2]",
        "del c.a, d[1], xs[0]",
        "vars(c), d, xs",
    ),
    scenario("a name read before it is bound in the cell", "x = [1]", "x.append(2); x = tuple(x)", "x"),
    scenario("a name bound only on one branch", "flag = False; x = 'old'", "if flag: x = 'new'", "x"),
    scenario("an undefined name raises NameError", "x = 1", "x + undefined_name", "x"),
    scenario("a name that a function needs and nobody has", "def f(): return missing_thing", "f()", "missing_thing = 5", "f()"),
    scenario(
        "%time runs a statement that binds",
        "xs = list(range(10))\nimport io, contextlib",
        "%time total = sum(xs)",
        "total",
        own=(),
    ),
    scenario(
        "%%timeit reads a function", "def f(xs): calls.append(1)\ncalls = []", "%%timeit -n2 -r1 -q\nf([1])", "len(calls) == 2"
    ),
    scenario(
        "%timeit -o gives its result's loops", "xs = [1, 2]", "t = %timeit -n3 -r2 -q -o sum(xs)", "t.loops, t.repeat", own=("t",)
    ),
    scenario("!echo reads {x} and $x", "x = 'hello'; n = 2", "!echo {x} $x {n + 1}", "!echo $$HOME_IS_NOT_READ {x.upper()}"),
    scenario(
        "a shell command's lines are bound",
        "word = 'two'",
        "lines = !printf 'one\\n{word}\\n'",
        "lines, lines.n",
        "type(lines).__name__",
    ),
    scenario("%%bash is given a variable as an argument", "x = 'arg'", "%%bash -s {x}\necho got $1", "x"),
    scenario(
        "%%capture reads and binds",
        "x = [1]",
        "%%capture out\nprint(x); y = x",
        "out.stdout, y is x",
        "x.append(2)",
        own=("out",),
    ),
    scenario("%who_ls lists what there is", "aa = 1; bb = 'x'", "cc = [1]", "%who_ls"),
    scenario("%who_ls of one type", "aa = 1; bb = 'x'", "%who_ls str"),
    scenario("%pinfo2 of a name that is not there", "xs = [1]", "%pinfo2 xs_not_there", "xs"),
    scenario("globals() by name", "x = [1]", "globals()['x'].append(2)", "globals()['y'] = x", "y is x, y"),
    scenario(
        "globals() by a name made at run time",
        "alpha = 1; beta = 2",
        "[globals()[n] for n in ('al' + 'pha', 'be' + 'ta')]",
        "sorted(n for n in globals() if n in ('alpha', 'beta', 'gamma'))",
    ),
    scenario(
        "'x' in globals() for a name that is there and one that is not",
        "x = 1",
        "'x' in globals(), 'y' in globals()",
        "del x",
        "'x' in globals()",
    ),
    scenario("locals() in a cell is globals()", "x = 1", "locals()['z'] = x + 1", "z, locals() is globals()"),
    scenario(
        "vars() of an object and of nothing", "class C: pass\nc = C(); c.a = 1", "vars(c)['b'] = 2; vars()['w'] = 3", "c.b, w"
    ),
    scenario(
        "dir() without arguments",
        "aaa = 1; aab = 2",
        "[n for n in dir() if n.startswith('aa')]",
        "del aaa",
        "[n for n in dir() if n.startswith('aa')]",
    ),
    scenario("eval of a string", "a = 2; b = 3", "eval('a * b')", "c = eval('[a, b]')", "c"),
    scenario("eval of a string made at run time", "a = 2; b = 3", "eval(''.join(['a', '+', 'b']))", "a"),
    scenario("eval with a namespace of its own", "a = 2", "eval('a', {'a': 'inner'})", "a"),
    scenario("exec binds, rebinds and deletes", "a = 1; b = 2", "exec('c = a + b; a = 10; del b')", "a, c, 'b' in globals()"),
    scenario(
        "exec in a dict leaves the notebook alone",
        "a = 1; space = {}",
        "exec('a = 5; z = a', space)",
        "a, space['a'], space['z'], 'z' in globals()",
    ),
    scenario(
        "a notebook function that evals a name",
        "secret = 42\ndef read(name): return eval(name)",
        "read('sec' + 'ret')",
        "secret = 43",
        "read('secret')",
    ),
    scenario(
        "a notebook function that uses globals()",
        "n = 0\ndef put(name, value): globals()[name] = value",
        "put('n', 5); put('fresh', [1])",
        "n, fresh",
    ),
    scenario(
        "getattr with a name made at run time",
        """
        class C:
            def go(self): return helper()
        def helper(): return 'helped'
        c = C()
        """,
        "getattr(c, 'g' + 'o')()",
    ),
    scenario("a builtin rebound, used and given back", "sum = lambda xs: 'mine'", "sum([1, 2])", "del sum", "sum([1, 2])"),
    scenario("a name that is a builtin's is bound by a cell", "xs = [1, 2]", "max = 5", "max, min(xs)", "del max", "max(xs)"),
    scenario(
        "get_ipython().user_ns", "x = [1]", "get_ipython().user_ns['x'].append(2)", "get_ipython().user_ns['y'] = 7", "x, y"
    ),
    scenario("get_ipython().push and ev", "x = 1", "get_ipython().push({'p': [x]})", "get_ipython().ev('p + [x]')"),
    scenario("a string that looks like a name is only a string", "limit = 3", "text = 'limit'", "text, limit"),
    scenario("names with letters of other scripts", "größe = [1]; π = 3", "größe.append(π)", "größe"),
    scenario("a private and a dunder name", "_hidden = [1]; __mine__ = [2]", "_hidden.append(__mine__[0])", "_hidden, __mine__"),
    scenario("__name__ and __doc__ of the notebook", "x = 1", "__name__", "__doc__ is None or isinstance(__doc__, str)"),
    scenario(
        "the notebook is the module __main__",
        "x = [1]",
        "import __main__\n__main__.x.append(2); __main__.fresh = 3",
        "x, fresh, 'y' in vars(__main__)",
    ),
    scenario("a from-import of a name from __main__", "x = [1]", "from __main__ import x as again", "again is x"),
    scenario("an empty cell and a cell of comments", "x = 1", "", "# nothing here", "x"),
    scenario(
        "a name is bound and deleted in one cell",
        "f = [1]",
        "def f(): return 2\ndel f",
        "'f' in globals()",
    ),
    scenario(
        "the name of a caught exception is gone afterwards",
        "e = [1]",
        "try: 1 / 0\nexcept ZeroDivisionError as e: print(e)",
        "'e' in globals()",
    ),
]
