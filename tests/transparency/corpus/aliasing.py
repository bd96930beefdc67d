"""What shares what: names, containers, closures, views and classes that hold one object go on holding one object."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    *(
        scenario(
            f"a name that was bound anew here and then there to what it was: {what}",
            f"first = {value}; x = first",
            "x",
            "%%local\nx = 'other'",
            f"x = {again}",
            "x, type(x) in (list, tuple) and x is first",
        )
        for what, value, again in (
            ("a text", "'text'", "'text'"),
            ("a number", "7", "7"),
            ("a tuple", "(1, 'a')", "first"),
            ("a list", "[1]", "first"),
            ("a function", "len", "len"),
            ("None", "None", "None"),
        )
    ),
    scenario(
        "a name that was deleted here and then bound there to what it was",
        "x = 'text'",
        "x",
        "%%local\ndel x",
        "x = 'text'",
        "x",
    ),
    *(
        scenario(
            f"a name is bound anew there, and what it was has been changed here: {what}",
            make,
            "x",
            f"%%local\nother = x; {change}",
            "x = 1",
            "x, other, vars(other) if isinstance(other, type) else None",
        )
        for what, make, change in (
            ("a list", "x = [1]", "other.append(2)"),
            ("a class", "class x:\n    kept = 1", "other.extra = 5"),
            ("an array", "import numpy as np\nx = np.zeros(3)", "other[0] = 2"),
        )
    ),
    scenario(
        "a global that a function binds to what it was",
        "x = 1\ndef back():\n    global x\n    x = 1",
        "x",
        "%%local\nx = 2",
        "back()",
        "x",
    ),
    scenario(
        "two names on one list stay one list",
        "a = [1, 2]; b = a",
        "a.append(3)",
        "b is a, b",
    ),
    scenario(
        "the name that no cell changed sees what the other one got",
        "a = {'n': 0}; b = a",
        "b['n'] += 1",
        "print(a)",
    ),
    scenario(
        "a cell makes a second name for what was there",
        "a = [1]",
        "b = a",
        "b.append(2)",
        "a is b, a",
    ),
    scenario(
        "an alias made and used in one cell is one afterwards",
        "a = [0]",
        """
        b = a
        b += [1]
        """,
        "a is b, a",
    ),
    scenario(
        "three names, one rebound, two stay together",
        "a = b = c = [0]",
        "b = b + [1]",
        "c.append(2)",
        "a is c, b is a, a, b, c",
    ),
    scenario(
        "rebinding a name does not change the object's other name",
        "a = [1]; b = a",
        "a = [9]",
        "a, b, a is b",
    ),
    scenario(
        "equal but separate lists stay separate",
        "a = [1]; b = [1]",
        "a.append(2)",
        "b, a is b",
    ),
    scenario(
        "a list inside a dict is the named list",
        "rows = []; table = {'rows': rows}",
        "rows.append('x')",
        "table['rows'] is rows, table",
    ),
    scenario(
        "a list changed through the dict that holds it",
        "rows = []; table = {'rows': rows}",
        "table['rows'].append('x')",
        "rows, table['rows'] is rows",
    ),
    scenario(
        "one row multiplied is the same row three times",
        "grid = [[0] * 2] * 3",
        "grid[0][1] = 7",
        "print(grid, grid[0] is grid[2])",
    ),
    scenario(
        "rows made one by one are separate",
        "grid = [[0] * 2 for _ in range(3)]",
        "grid[0][1] = 7",
        "print(grid, grid[0] is grid[2])",
    ),
    scenario(
        "a shallow copy shares its members",
        "import copy\na = [[1], [2]]; b = copy.copy(a)",
        "b[0].append('x'); b.append([3])",
        "a, b, a[0] is b[0]",
    ),
    scenario(
        "a deep copy shares nothing",
        "import copy\na = [[1], [2]]; b = copy.deepcopy(a)",
        "b[0].append('x')",
        "a, b, a[0] is b[0]",
    ),
    scenario(
        "a copy made in a cell is a copy",
        "a = {'k': [1]}",
        "b = dict(a); b['n'] = 2",
        "b['k'].append(3)",
        "a, b",
    ),
    scenario(
        "members swapped between two lists keep their identity",
        "x = ['x']; y = ['y']; a = [x]; b = [y]",
        "a[0], b[0] = b[0], a[0]",
        "a[0] is y, b[0] is x",
    ),
    scenario(
        "two names swapped",
        "a = [1]; b = [2]; was_a = a",
        "a, b = b, a",
        "b is was_a, a, b",
    ),
    scenario(
        "an object moves from one list to another",
        "thing = {'id': 1}; todo = [thing]; done = []",
        "done.append(todo.pop())",
        "todo, done, done[0] is thing",
    ),
    scenario(
        "an alias deep in a structure and a plain name",
        "leaf = [0]\ntree = {'a': {'b': [{'c': leaf}]}}",
        "tree['a']['b'][0]['c'].append(1)",
        "leaf.append(2)",
        "tree, tree['a']['b'][0]['c'] is leaf",
    ),
    scenario(
        "an instance and a list that holds it are changed through either",
        """
        class Node:
            def __init__(self, value):
                self.value = value

        node = Node(1); nodes = [node, node]
        """,
        "nodes[0].value = 2",
        "node.extra = nodes[1].value + 1",
        "nodes[1].value, nodes[0].extra, nodes[0] is node",
    ),
    scenario(
        "an instance's attribute is a named list",
        """
        class Box:
            pass

        items = [1]
        box = Box(); box.items = items
        """,
        "box.items.append(2)",
        "items.append(3)",
        "box.items is items, items",
    ),
    scenario(
        "two instances share a default list",
        """
        class Box:
            def __init__(self, items=[]):
                self.items = items

        a, b = Box(), Box()
        """,
        "a.items.append(1)",
        "c = Box()",
        "b.items, c.items is a.items",
    ),
    scenario(
        "a list held by a default argument and by a name",
        "log = []\ndef note(x, to=log):\n    to.append(x)",
        "note(1)",
        "note(2)",
        "log, note.__defaults__[0] is log",
    ),
    scenario(
        "a list held by a closure and by a name",
        """
        def make(seen):
            def add(x):
                seen.append(x)
                return len(seen)
            return add

        seen = []
        add = make(seen)
        """,
        "add(1)",
        "seen.append(2); add(3)",
        "seen",
    ),
    scenario(
        "a name that the cell deletes leaves the object to its other name",
        "a = [1]; b = a",
        "a.append(2); del a",
        "b, 'a' in globals()",
    ),
    scenario(
        "an object put into a list that was there already",
        "box = []; thing = [0]",
        "box.append(thing)",
        "thing.append(1)",
        "box, box[0] is thing",
    ),
    scenario(
        "a new object is put into two lists that were there",
        "a = []; b = []",
        "new = {'k': 1}; a.append(new); b.append(new); del new",
        "a[0]['k'] = 2",
        "b, a[0] is b[0]",
    ),
    scenario(
        "two functions name one global list",
        "log = []\ndef f(): log.append('f')\ndef g(): log.append('g')",
        "f()",
        "g()",
        "log",
    ),
    scenario(
        "keys of two dicts are one object",
        "key = ('k', frozenset({1})); a = {key: 1}; b = {key: 2}",
        "a[key] += 10",
        "next(iter(a)) is next(iter(b)), a[key], b[key]",
    ),
    scenario(
        "a result and the name it came from are one",
        "a = [1]",
        "a",
        "_.append(2)",
        "a, Out[max(Out)] is a",
    ),
    scenario(
        "the same list twice in one tuple",
        "a = []; pair = (a, a)",
        "pair[0].append(1)",
        "pair[0] is pair[1], pair[1] is a, pair",
    ),
    scenario(
        "an object changed in one cell, compared by identity with what a later one made",
        "a = [1]; keep = [a]",
        "a.append(2)",
        "a = list(a)",
        "keep[0] is a, keep[0] == a",
    ),
    scenario(
        "names that are None, True and a small int stay the very same",
        "a = None; b = True; c = 1",
        "d, e, f = a, b, c",
        "a is d is None, e is True, f is c",
    ),
    scenario(
        "two cells in turn change one list through two names",
        "a = b = []",
        *(f"{'ab'[n % 2]}.append({n})" for n in range(4)),
        "a is b, a",
    ),
    scenario(
        "views of one dict see what a cell adds to it",
        "d = {'a': 1}; both = [d, d]",
        "both[0]['b'] = 2",
        "list(both[1].items()), d",
    ),
    scenario(
        "an augmented list keeps its identity, an augmented tuple does not",
        "a = [1]; b = a; t = (1,); u = t",
        "a += [2]; t += (2,)",
        "a is b, b, t is u, t, u",
    ),
]
