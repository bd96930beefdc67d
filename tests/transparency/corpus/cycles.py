"""Objects that reach themselves: cycles of every kind keep their shape while cells change them."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario("a list that holds itself", "xs = [1]; xs.append(xs)", "xs.append(2)", "xs[1] is xs, len(xs), xs"),
    scenario("a dict that holds itself", "d = {}; d['me'] = d", "d['me']['me']['n'] = 1", "d['n'], d['me'] is d, d"),
    scenario(
        "two lists that hold each other",
        "a, b = [], []; a.append(b); b.append(a)",
        "a.append('a')",
        "b[0] is a, a[0] is b, b[0][1]",
        "b.clear(); a",
    ),
    scenario(
        "a cycle is made by a cell and broken by another",
        "a = [1]; b = {'a': a}",
        "a.append(b)",
        "a[1]['a'] is a",
        "del b['a']",
        "a, b",
    ),
    scenario(
        "a cycle that only one name reaches",
        "xs = [[]]; xs[0].append(xs)",
        "inner = xs[0]",
        "del xs",
        "inner[0][0] is inner, inner[0].append('x')",
        "inner",
    ),
    scenario(
        "a tuple in a cycle through a list", "xs = []; t = (1, xs); xs.append(t)", "xs.append(2)", "t[1][0] is t, len(t[1]), t"
    ),
    scenario(
        "a tree with parents",
        """
        class Node:
            def __init__(self, name, parent=None):
                self.name = name; self.parent = parent; self.kids = []
                if parent is not None: parent.kids.append(self)
        root = Node('root'); leaf = Node('leaf', Node('mid', root))
        """,
        "other = Node('other', leaf.parent)",
        "leaf.parent.name = 'MID'; leaf.parent.kids.remove(leaf); root.kids.append(leaf); leaf.parent = root",
        "[k.name for k in root.kids], other.parent is root.kids[0], leaf.parent is root",
    ),
    scenario(
        "a doubly linked list",
        """
        class L:
            def __init__(self, v): self.v = v; self.next = self.prev = None
        head = tail = None
        def put(v):
            global head, tail
            n = L(v)
            if head is None: head = tail = n
            else: tail.next = n; n.prev = tail; tail = n
        """,
        "put(1); put(2)",
        "put(3)",
        "head.next.v *= 10; tail.prev is head.next",
        "out = []; n = tail\nwhile n: out.append(n.v); n = n.prev\nout",
    ),
    scenario(
        "a ring",
        "class R: pass\na, b, c = R(), R(), R(); a.n, b.n, c.n = b, c, a",
        "a.n.n.n.mark = 'here'",
        "a.mark, c.n is a",
        "a.n = c; del b",
        "a.n.n is a",
    ),
    scenario(
        "a graph as a dict of sets with cycles",
        "g = {'a': {'b'}, 'b': {'c'}, 'c': {'a'}}",
        "g['c'].add('d'); g.setdefault('d', set()).add('b')",
        "{k: sorted(v) for k, v in g.items()}",
    ),
    scenario(
        "an instance that holds its own bound method",
        "class C:\n    n = 0\n    def up(self): self.n += 1\nc = C(); c.cb = c.up",
        "c.cb()",
        "c.cb(); c.cb.__self__ is c",
        "c.n",
    ),
    scenario(
        "an instance that is its own attribute and key",
        "class K: pass\nk = K(); k.me = k; k.d = {k: 'self'}",
        "k.me.me.n = 1",
        "k.n, k.d[k.me], next(iter(k.d)) is k",
    ),
    scenario(
        "a class that reaches its instance that reaches its class",
        "class S:\n    one = None\nS.one = S(); S.one.cls = S",
        "S.one.cls.one.n = 5",
        "s = S.one",
        "s.n, s.cls is S, S.one is s, type(s) is S",
    ),
    scenario(
        "a closure that reaches itself through a list",
        "def make():\n    box = []\n    def f(): return box\n    box.append(f)\n    return f\nf = make()",
        "f()[0] is f",
        "f().append(1)",
        "f()[1:], f()[0]()[0] is f",
    ),
    scenario(
        "a function in its own attribute's dict and default",
        "d = {}\ndef f(x, d=d): return d['f'] is f\nd['f'] = f; f.d = d",
        "f(1)",
        "d['n'] = 1",
        "f.d['n'], f.__defaults__[0] is d, f.d['f'] is f",
    ),
    scenario(
        "two functions that hold each other",
        """
        def a(n): return n if n <= 0 else a.other(n - 1)
        def b(n): return n if n <= 0 else b.other(n - 2)
        a.other, b.other = b, a
        """,
        "a(7), b(7)",
        "a.seen = [a, b]",
        "a.seen[1].other is a",
    ),
    scenario(
        "a partial of a function that reaches the partial",
        "from functools import partial\ndef f(box, x): return box['p'] is p, x\nbox = {}; p = partial(f, box); box['p'] = p",
        "p(1)",
        "box['n'] = 2",
        "p.args[0]['n'], p.args[0] is box, p(3)",
    ),
    scenario(
        "a deque and an OrderedDict in a cycle",
        "from collections import OrderedDict, deque\nq = deque(); o = OrderedDict(q=q); q.append(o)",
        "q[0]['q'].append(1)",
        "o['q'] is q, q[0] is o, len(q)",
    ),
    scenario(
        "a defaultdict whose factory makes more of it",
        "from collections import defaultdict\ndef tree(): return defaultdict(tree)\nt = tree()",
        "t['a']['b'] = 1",
        "t['a']['up'] = t",
        "t['a']['up']['c']['d'] = 2",
        "t['a']['up'] is t, t['c']['d'], t['a']['b']",
    ),
    scenario(
        "a dataclass whose repr meets itself",
        """
        from dataclasses import dataclass, field
        @dataclass
        class D:
            n: int
            kids: list = field(default_factory=list, compare=False)
        d = D(1); d.kids.append(d)
        """,
        "d.kids[0].n = 2",
        "d",
        "d.kids[0] is d",
    ),
    scenario(
        "an exception that holds what raised it",
        """
        class Job:
            error = None
            def run(self):
                try: raise ValueError('job', self)
                except ValueError as e: self.error = e
        j = Job()
        """,
        "j.run()",
        "j.error.args[1] is j, j.error.args[0]",
    ),
    scenario(
        "an object array that holds itself",
        "import numpy as np\na = np.empty(2, dtype=object); a[0] = [a]; a[1] = 'x'",
        "a[0].append(1)",
        "a[0][0] is a, a[0][1], a[1]",
        needs=("numpy",),
    ),
    scenario(
        "deepcopy of a cycle",
        "import copy\na = [1]; a.append({'a': a})",
        "b = copy.deepcopy(a)",
        "b[0] = 2",
        "b[1]['a'] is b, a[1]['a'] is a, a[0]",
    ),
    scenario(
        "a long chain of a thousand links",
        """
        class N:
            def __init__(self, next): self.next = next
        last = N(None); first = last
        for _i in range(1000): first = N(first)
        """,
        "last.end = True",
        "n = first; count = 0\nwhile n.next: n = n.next; count += 1",
        "count, n is last, n.end",
    ),
    scenario(
        "a list nested five hundred deep",
        "deep = inner = []\nfor _i in range(500): inner.append([]); inner = inner[0]",
        "inner.append('bottom')",
        "n = 0; x = deep\nwhile isinstance(x[0], list): x = x[0]; n += 1",
        "n, x is inner, x",
    ),
    scenario(
        "an iterator in the list that it iterates",
        "xs = [1, 2, 3]; it = iter(xs); xs.append(it)",
        "next(it)",
        "xs[3] is it, next(it)",
        "next(it), next(it) is it",
    ),
]
