"""Tuples and other objects that cannot change: unchanged they keep their identity, a new one is a new object."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "rebinding a tuple leaves its other name alone",
        "t = (1, 2); u = t",
        "t = (3, 4)",
        "t, u, t is u",
    ),
    scenario(
        "an unchanged tuple keeps its identity, its list changes inside",
        "t = ([1], 'x'); u = t; inner = t[0]",
        "t[0].append(2)",
        "t is u, u[0] is inner, u",
    ),
    scenario(
        "a tuple in a tuple in a list",
        "leaf = [0]; t = (1, (2, (leaf,))); box = [t]",
        "box[0][1][1][0].append(1)",
        "leaf, box[0] is t, t",
    ),
    scenario(
        "a tuple that was read is the same tuple afterwards",
        "t = tuple(range(5)); u = t",
        "total = sum(t)",
        "t is u, total",
    ),
    scenario(
        "a tuple handed on to a new name is the same tuple",
        "t = (1, [2])",
        "u = t; box = [t]",
        "u is t, box[0] is t",
    ),
    scenario(
        "a += on a tuple's list raises and changes the list all the same",
        "t = ([1],); inner = t[0]",
        "t[0] += [2]",
        "inner, t",
    ),
    scenario(
        "assigning to a tuple's index raises",
        "t = (1, 2)",
        "t[0] = 3",
        "t",
    ),
    scenario(
        "a frozenset rebound with |= leaves its other name alone",
        "f = frozenset({1}); g = f",
        "f |= {2}",
        "sorted(f), sorted(g), f is g",
    ),
    scenario(
        "a frozenset as a dict's key still finds its entry",
        "f = frozenset({1, 2}); d = {f: ['x']}",
        "d[f].append('y'); d[frozenset({3})] = []",
        "d[frozenset({2, 1})], len(d), any(k is f for k in d)",
    ),
    scenario(
        "a string rebound leaves its other name alone",
        "s = 'abc'; t = s",
        "s += 'd'",
        "s, t",
    ),
    scenario(
        "bytes rebound leave their other name alone",
        "s = b'abc'; t = s",
        "s += b'd'",
        "s, t",
    ),
    scenario(
        "a number rebound leaves its other name alone",
        "n = 10**20; m = n",
        "n += 1",
        "n, m, m - n",
    ),
    scenario(
        "a range and a slice stay what they are",
        "r = range(0, 10, 3); s = slice(1, None, 2); r2 = r",
        "picked = list(r)[s]",
        "r is r2, r, s, picked",
    ),
    scenario(
        "a tuple with itself inside a list",
        "inner = []; t = (inner,); inner.append(t)",
        "inner.append('more')",
        "t[0][0] is t, len(t[0]), t[0] is inner",
    ),
    scenario(
        "a namedtuple is replaced, its old value stays with its other name",
        "from collections import namedtuple\nPoint = namedtuple('Point', 'x y', defaults=[0])\np = Point(1); q = p",
        "p = p._replace(y=5)",
        "p, q, p == q, type(p) is Point",
    ),
    scenario(
        "a namedtuple's list is changed inside",
        "from collections import namedtuple\nRow = namedtuple('Row', 'name values')\nr = Row('a', []); same = r",
        "r.values.append(1)",
        "same is r, same.values, same._asdict()",
    ),
    scenario(
        "a frozen dataclass is replaced, its old value stays",
        """
        from dataclasses import dataclass, replace

        @dataclass(frozen=True)
        class Config:
            lr: float
            tags: tuple = ()

        c = Config(0.1); old = c
        """,
        "c = replace(c, lr=0.2, tags=('x',))",
        "c, old, c is old, hash(old) == hash(Config(0.1))",
    ),
    scenario(
        "a frozen dataclass refuses an assignment and holds a list that changes",
        """
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Config:
            items: list

        c = Config([1]); old = c
        """,
        "c.items.append(2)\nc.items = []",
        "old is c, old.items",
    ),
    scenario(
        "a tuple of functions and their names",
        "def f(): return 'f'\ndef g(): return 'g'\npair = (f, g)",
        "first = pair[0]",
        "first is f, [fn() for fn in pair]",
    ),
    scenario(
        "tuples unpacked and packed again in other cells",
        "t = (1, [2], 'three')",
        "one, two, three = t\nback = (one, two, three)",
        "two.append(0)",
        "back == t, back is t, t",
    ),
    scenario(
        "two equal tuples are two objects",
        "a = [0]; t = (a,); u = (a,)",
        "a.append(1)",
        "t is u, t == u, t",
    ),
    scenario(
        "tuples as keys with objects inside",
        "class P:\n    pass\np = P(); d = {(p, 1): 'one'}",
        "d[(p, 2)] = 'two'; p.seen = True",
        "d[p, 1], d[p, 2], all(k[0] is p for k in d)",
    ),
]
