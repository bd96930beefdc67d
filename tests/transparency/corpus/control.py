"""Control flow and statements: that each does in a remote cell what it does here, and leaves the same names behind."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "lines of nothing but spaces count",
        "x = 1\n  \nclass A:\n    def fails(self):\n        \n        return 1 / (x - 1)\n   ",
        "\ny = 2\n\t\nA().fails()",
        "A.fails.__code__.co_firstlineno",
    ),
    scenario("a for loop with else", "xs = [1, 3, 5]", "for x in xs:\n    if x % 2 == 0: break\nelse: odd = True", "x, odd"),
    scenario("a while loop with else and break", "n = 10", "while n:\n    n -= 3\n    if n < 0: break\nelse: n = 'even'", "n"),
    scenario(
        "continue, break and nested loops",
        "found = []",
        """
        for i in range(5):
            if i == 1: continue
            for j in range(i):
                if j == 2: break
                found.append((i, j))
        """,
        "found, i, j",
    ),
    scenario("a loop over nothing binds nothing", "xs = []", "for never in xs: pass", "'never' in globals()"),
    scenario(
        "an iterator is consumed over cells",
        "it = iter([1, 2, 3, 4])",
        "for x in it:\n    if x == 2: break",
        "rest = list(it)",
        "x, rest, next(it, 'end')",
    ),
    scenario(
        "enumerate, zip and reversed in loops",
        "a = 'xyz'; b = [1, 2, 3]",
        "out = [(i, p, q) for i, (p, q) in enumerate(zip(a, reversed(b)))]",
        "out",
    ),
    scenario(
        "a loop changes the list that it copies",
        "xs = [1, 2, 3, 4]; alias = xs",
        "for x in xs[:]:\n    if x % 2: xs.remove(x)",
        "xs, alias is xs",
    ),
    scenario("a dict changed while it is iterated", "d = {'a': 1, 'b': 2}", "for k in d: d[k + k] = 1", "sorted(d)[:2], k"),
    scenario(
        "with over two managers, one of which swallows",
        "from contextlib import suppress, nullcontext\nlog = []",
        "with suppress(ZeroDivisionError), nullcontext(log) as inner:\n    inner.append(1); 1 / 0; inner.append(2)\nafter = True",
        "log, inner is log, after",
    ),
    scenario(
        "with in parentheses and a target that is an item",
        "from contextlib import nullcontext\nd = {}; x = [1]",
        "with (nullcontext(x) as d['x'], nullcontext((1, 2)) as (a, b)): pass",
        "d['x'] is x, a, b",
    ),
    scenario(
        "try, except, else and finally, all ways",
        """
        log = []
        def go(f):
            try: f()
            except (KeyError, ValueError) as e: log.append(type(e).__name__)
            else: log.append('else')
            finally: log.append('end')
        """,
        "go(lambda: 1); go(lambda: {}[1])",
        "go(lambda: 1 / 0)",
        "log",
    ),
    scenario(
        "finally in a loop with continue and break",
        "log = []",
        "for i in range(4):\n    try:\n        if i == 1: continue\n        if i == 2: break\n    finally: log.append(i)",
        "log, i",
    ),
    scenario(
        "match on sequences, guards and alternatives",
        """
        def say(v):
            match v:
                case []: return 'empty'
                case [x] if x == special: return 'special'
                case [_, *rest]: return rest
                case 'a' | 'b' as s: return s * 2
                case int() | float(): return 'number'
                case None: return 'none'
            return 'other'
        special = 7
        """,
        "[say(v) for v in ([], [7], [1, 2], 'b', 2.5, None, {})]",
        "special = 8",
        "say([7]), say([8]), say(True)",
    ),
    scenario(
        "match binds names of the notebook",
        "cmd = {'op': 'move', 'to': (3, 4), 'fast': True}",
        "match cmd:\n    case {'op': str(op), 'to': (x, y), **more}: hit = True",
        "op, x, y, more, hit",
    ),
    scenario(
        "star unpacking",
        "xs = list(range(5))",
        "first, *mid, last = xs",
        "*a, = 'ab'; [p, [q, *r]] = 1, [2, 3, 4]",
        "first, mid, last, a, p, q, r",
    ),
    scenario(
        "unpacking into displays and calls",
        "xs = [1, 2]; d = {'k': 3}",
        "both = [*xs, *'ab', *d]; merged = {**d, 'j': 4, **{'k': 5}}",
        "def f(*a, **k): return a, k\nf(*xs, 0, *xs, **d, z=1)",
        "both, merged",
    ),
    scenario(
        "chained assignment makes one object",
        "a = b = c = []",
        "b.append(1)",
        "x = y = [a, b]; y.append(c)",
        "a, x is y, x[2] is a",
    ),
    scenario(
        "swaps and rotations", "a, b, c = [1], [2], [3]; first = a", "a, b = b, a", "a, b, c = c, a, b", "a, b, c, c is first"
    ),
    scenario(
        "the order of evaluation in an assignment",
        "log = []\ndef note(n, v):\n    log.append(n)\n    return v",
        "d = {}; note('target', d)[note('key', 'k')] = note('value', 1)",
        "x = note(1, 1) if note(2, False) else note(3, 3)",
        "log, d, x",
    ),
    scenario(
        "del of names, items and slices",
        "a = b = [1]; xs = list(range(8)); d = {'k': {'j': 1}}",
        "del a, xs[1:6:2], d['k']['j']",
        "b, xs, d, 'a' in globals()",
        "a",
    ),
    scenario("del in a loop until nothing is left", "d = {i: str(i) for i in range(4)}", "while len(d) > 1: del d[min(d)]", "d"),
    scenario(
        "augmented assignments of every operator",
        "a = 7; s = {1, 2}; x = 2.0",
        "a += 1; a -= 2; a *= 5; a //= 4; a %= 5; a **= 3; a <<= 2; a |= 1; a ^= 3; a &= 0xff; a >>= 1",
        "s |= {3}; s &= {2, 3, 4}; s ^= {9}; s -= {3}; x /= 4",
        "a, s, x",
    ),
    scenario(
        "augmented assignment through a chain",
        "class N: pass\nroot = N(); root.kids = {'a': [N()]}; root.kids['a'][0].v = [0]; leaf = root.kids['a'][0].v",
        "root.kids['a'][0].v += [1]",
        "root.kids['a'][-1].v[0] += 5",
        "leaf, root.kids['a'][0].v is leaf",
    ),
    scenario("an augmented item of a tuple fails and changes all the same", "t = ([1], 2)", "t[0] += [5]", "t"),
    scenario("+= on another name's list, and + =", "a = [1]; b = a", "b += [2]; c = a", "b = b + [3]", "a, b, c is a"),
    scenario(
        "conditional expressions and short circuits",
        "x = 0; log = []",
        "y = x or log.append('r') or 'end'; z = x and log.append('never')",
        "y, z, log, 1 < 2 < 3 > x",
    ),
    scenario("a chained comparison asks once", "n = 0\ndef up():\n    global n\n    n += 1\n    return n", "0 < up() < 5", "n"),
    scenario("pass, ellipsis and an empty body", "class C: ...\ndef f(): pass\nif True: pass", "f(), C().__dict__", "..."),
    scenario(
        "several statements on a line and a line over several", "a = 1; b = 2; c = (a +\n     b)", "d = a + \\\n    b", "c, d"
    ),
    scenario(
        "walrus in while and in comprehensions",
        "src = [3, 2, 1, 0, 9]; i = -1",
        "while (v := src[(i := i + 1)]): last = v",
        "[(w := x) for x in 'ab'], w",
        "i, v, last",
    ),
    scenario(
        "global and nested scopes",
        """
        x = 'global'
        def outer():
            x = 'outer'
            def inner():
                global x
                x = 'changed'
                return x
            return inner(), x
        """,
        "outer()",
        "x",
    ),
    scenario("assert and if __debug__", "x = 1", "if __debug__: x = 2\nassert x == 2", "x"),
    scenario("a type annotation without a value binds nothing", "n: int", "m: int = 1; __annotations__", "'n' in globals(), m"),
    scenario(
        "a long chain of elif",
        """
        def grade(n):
            if n > 90: return 'A'
            elif n > 80: return 'B'
            elif n > limit: return 'C'
            else: return 'F'
        limit = 70
        """,
        "[grade(n) for n in (95, 85, 75, 5)]",
        "limit = 0",
        "grade(5)",
    ),
    scenario(
        "a comprehension of every kind with conditions",
        "rows = [[1, 2], [3, 4]]; low = 1",
        "s = {v % 3 for r in rows for v in r if v > low}; d = {v: r for r in rows for v in r}",
        "s, d, d[1] is rows[0]",
    ),
]
