"""Containers of the standard library, changed in place in one cell and looked at, through another name, in the next."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

# kind: how it is made, and the ways to change it in place
IN_PLACE = {
    "a list": (
        "[3, 1, 2]",
        {
            "appended to": "v.append(9)",
            "extended": "v.extend(range(3))",
            "inserted into": "v.insert(0, 'first')",
            "sorted": "v.sort(reverse=True)",
            "reversed": "v.reverse()",
            "slice-assigned": "v[1:2] = ['a', 'b', 'c']",
            "cut with a step": "del v[::2]",
            "cleared": "v.clear()",
            "multiplied": "v *= 2",
            "popped and put back": "v.insert(0, v.pop())",
        },
    ),
    "a dict": (
        "{'b': 1, 'a': 2}",
        {
            "given a key": "v['c'] = 3",
            "changed at a key, order kept": "v['b'] = 100",
            "deprived of its first key, which comes back last": "v['b'] = v.pop('b')",
            "updated": "v.update(z=0, a=5)",
            "merged with |=": "v |= {'m': [1]}",
            "asked with setdefault": "v.setdefault('list', []).append(1)",
            "sorted by refilling": "items = sorted(v.items()); v.clear(); v.update(items); del items",
            "emptied by popitem": "while v: v.popitem()",
        },
    ),
    "a set": (
        "{1, 2, 3}",
        {
            "added to": "v.add(10)",
            "intersected with": "v &= {2, 3, 4}",
            "toggled": "v ^= {3, 5}",
            "reduced": "v.discard(1); v -= {2}",
        },
    ),
    "a deque with a limit": (
        "__import__('collections').deque([1, 2, 3], maxlen=3)",
        {
            "pushed over its limit": "v.append(4)",
            "pushed from the left": "v.appendleft(0)",
            "rotated": "v.rotate(1)",
            "changed at an index": "v[1] = 'mid'",
        },
    ),
    "a bytearray": (
        "bytearray(b'hello')",
        {
            "given bytes": "v += b' you'",
            "changed at a byte": "v[0] = 74",
            "cut": "del v[1:3]",
        },
    ),
    "an OrderedDict": (
        "__import__('collections').OrderedDict(a=1, b=2, c=3)",
        {
            "reordered": "v.move_to_end('a')",
            "reordered to the front": "v.move_to_end('c', last=False)",
            "popped from the front": "v.popitem(last=False)",
        },
    ),
    "a defaultdict": (
        "__import__('collections').defaultdict(list, {'a': [1]})",
        {
            "filled by asking": "v['new'].append(1)",
            "read, which leaves a key": "v['seen']",
            "given another factory": "v.default_factory = int; v['n'] += 1",
        },
    ),
    "a Counter": (
        "__import__('collections').Counter('abba')",
        {
            "updated": "v.update('bcc')",
            "subtracted below zero": "v.subtract('aaa')",
            "cleaned with +=": "v['z'] = -1; v += {}",
        },
    ),
}

SCENARIOS: list[Scenario] = [
    scenario(
        f"{kind}, {way}, is the same object and its other name sees it", f"v = {make}; other = v", change, "v is other, other"
    )
    for kind, (make, changes) in IN_PLACE.items()
    for way, change in changes.items()
]

SCENARIOS += [
    scenario(
        "a ChainMap writes into its first map",
        "from collections import ChainMap\nbase = {'a': 1}; own = {}\nchain = ChainMap(own, base)",
        "chain['a'] = 2; chain['b'] = 3",
        "base['c'] = 4",
        "own, dict(sorted(chain.items())), chain.maps[1] is base",
    ),
    scenario(
        "a ChainMap's child shares its parents",
        "from collections import ChainMap\nchain = ChainMap({'a': 1}); child = chain.new_child()",
        "child['b'] = 2; chain['a'] = 5",
        "child['a'], child.parents == chain, child.maps[1] is chain.maps[0]",
    ),
    scenario(
        "a heap stays a heap across cells",
        "import heapq\nheap = [5, 3, 8]; heapq.heapify(heap)",
        "heapq.heappush(heap, 1); least = heapq.heappop(heap)",
        "heapq.heapreplace(heap, 4)",
        "least, heap, [heapq.heappop(heap) for _ in range(len(heap))]",
    ),
    scenario(
        "a bisected list",
        "import bisect\nscores = [10, 20, 30]",
        "bisect.insort(scores, 25)",
        "bisect.bisect(scores, 20), scores",
    ),
    scenario(
        "a dict keeps the order in which keys came over three cells",
        "d = {}; d['z'] = 0",
        "d['a'] = 1",
        "d['m'] = 2; del d['z']; d['z'] = 3",
        "list(d)",
    ),
    scenario(
        "a dict with keys of many types",
        "d = {1: 'int', 1.5: 'float', 'k': 'str', (1, 2): 'tuple', None: 'none', frozenset({1}): 'frozen', b'b': 'bytes'}",
        "d[1.0] = 'replaced'; d[True] = 'again'",
        "d",
    ),
    scenario(
        "a key that is equal but of another type keeps the first key",
        "d = {1: 'a'}",
        "d[True] = 'b'; d[1.0] = 'c'",
        "d, type(next(iter(d)))",
    ),
    scenario(
        "nested containers of every kind",
        "from collections import deque, OrderedDict\nv = [{'d': deque([[1]])}, OrderedDict(s={1}), (bytearray(b'x'),)]",
        "v[0]['d'][0].append(2); v[1]['s'].add(2); v[2][0].extend(b'y')",
        "v",
    ),
    scenario(
        "a defaultdict of defaultdicts",
        "from collections import defaultdict\ntree = defaultdict(lambda: defaultdict(int))",
        "tree['a']['x'] += 1",
        "tree['b']['y'] += 2; tree['a']['x'] += 1",
        "{k: dict(v) for k, v in tree.items()}",
    ),
    scenario(
        "a subclass of list with an attribute",
        "class Stack(list):\n    top = None\nv = Stack([1]); v.label = 'mine'; other = v",
        "v.append(2); v.label += '!'; v.top = v[-1]",
        "type(other) is Stack, list(other), other.label, other.top, Stack.top",
    ),
    scenario(
        "a subclass of dict that counts its reads",
        """
        class Counting(dict):
            reads = 0

            def __getitem__(self, key):
                self.reads += 1
                return super().__getitem__(key)

            def __missing__(self, key):
                return f"no {key}"

        v = Counting(a=1)
        """,
        "v['a']; v['b']",
        "v['a'], v.reads, Counting.reads, dict(v)",
    ),
    scenario(
        "a dict whose __setitem__ prints and needs an attribute",
        """
        class Renaming(dict):
            def __init__(self, names, **given):
                super().__init__(given)
                self.names = names

            def __setitem__(self, key, value):
                print("set", key)
                super().__setitem__(self.names[key], value)

        v = Renaming({'a': 'x', 'b': 'y'}, z=0); v['a'] = 1
        """,
        "v['b'] = 2; w = Renaming({'c': 'd'}, e=1); both = [v, w]",
        "w['c'] = 3; v['a'] = both",
        "v, w, both[0] is v, v.names, list(v)",
    ),
    scenario(
        "a list whose append and extend count",
        """
        class Counted(list):
            def append(self, each):
                self.count += 1
                super().append(each)

            def extend(self, more):
                print("extend", self.count)
                super().extend(more)

        v = Counted([1, 2]); v.count = 0; v.append(3)
        """,
        "v.append(v); w = Counted('ab'); w.count = 7",
        "w.append(4); v.extend(w)",
        "v, w, v.count, w.count, v[3] is v",
    ),
    scenario(
        "ordered and default dicts with a __setitem__ of their own",
        """
        from collections import OrderedDict, defaultdict

        class Last(OrderedDict):
            def __setitem__(self, key, value):
                super().__setitem__(key, value)
                self.move_to_end(key, last=self.ends)

        class Told(defaultdict):
            def __setitem__(self, key, value):
                print("set", key)
                super().__setitem__(key, value)

        o = Last(); o.ends = False; o['a'] = 1; o['b'] = 2; t = Told(list)
        """,
        "o['c'] = t; t['k'].append(o)",
        "o['a'] = 5; t['l']",
        "list(o), o['c'] is t, t['k'][0] is o, t.default_factory, list(t)",
    ),
    scenario(
        "a dict with __setstate__, and one more key",
        """
        class Stateful(dict):
            def __setstate__(self, state):
                self.restored = True
                self.__dict__.update(state)

        v = Stateful(a=1); v.more = [1]; w = v.more
        """,
        "v['b'] = 2; v.more.append(3)",
        "v['c'] = w",
        "v, v.more is w, sorted(v.__dict__)",
    ),
    scenario(
        "a UserDict and a UserList",
        "from collections import UserDict, UserList\nd = UserDict(a=1); n = UserList([1]); inner = d.data",
        "d['b'] = 2; n.append(2)",
        "inner is d.data, d, n",
    ),
    scenario(
        "a list of a thousand small dicts, one of them changed",
        "rows = [{'i': i} for i in range(1000)]; pick = rows[500]",
        "rows[500]['seen'] = True",
        "pick, sum('seen' in r for r in rows), pick is rows[500]",
    ),
    scenario(
        "a list changed while another part of it is iterated in the cell",
        "v = [1, 2, 3]",
        "for x in v:\n    if x < 3: v.append(x + 10)\n    if len(v) > 6: break",
        "v, x",
    ),
    scenario(
        "a big list made smaller and a small one made bigger",
        "big = list(range(2000)); small = []; b2, s2 = big, small",
        "small.extend(big[1000:]); del big[10:]",
        "len(b2), sum(s2), b2 is big, s2 is small",
    ),
    scenario(
        "a dict of lists is inverted into a new one",
        "groups = {'x': [1, 2], 'y': [3]}",
        "inverted = {n: key for key, numbers in groups.items() for n in numbers}",
        "groups['y'].append(4)",
        "inverted, groups",
    ),
]
