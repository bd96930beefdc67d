"""Of a graph that both sides have, only what changed is told; nothing that changed is left out."""

from __future__ import annotations

import random
import sys
import threading
import types

import pytest
from farcell_host.state.contents import content_of, is_still, still_among

from .conftest import over_the_wire

GRAPH = """
import datetime, enum
from collections import deque
class N:
    def __init__(self): self.xs, self.d = [0], {}
class S:
    __slots__ = ("a", "b")
class Zone(datetime.tzinfo): pass
class Text(str): pass
class E(enum.Enum):
    A = 1
def counter():
    n = 1000
    def add():
        nonlocal n
        n += 1
    def read(): return n
    return add, read
s = S(); s.a = 1; add, read = counter()
nodes = [N() for _ in range(100)]
extra = [s, {1, 2}, deque([1]), {"k": 1}, Zone(), Text("t"), E.A, add, read]
graph = [nodes, extra]
"""


@pytest.fixture
def graph(pair):
    pair.cell(GRAPH)
    pair.ship("graph")
    return pair


def told(payload):
    return sum(stream["states"] for stream in payload.header["streams"])


@pytest.mark.parametrize(
    ("change", "look", "most"),
    [
        ("graph[0][3].xs.append(1)", "graph[0][3].xs == [0, 1]", 1),
        ("graph[0][3].xs[0] = True", "graph[0][3].xs[0] is True", 1),
        ("graph[0][3].new = 5", "graph[0][3].new == 5", 1),
        ("x = graph[0][3]; x.xs = x.__dict__.pop('xs')", "list(vars(graph[0][3])) == ['d', 'xs']", 1),
        ("del graph[0][3].d", "not hasattr(graph[0][3], 'd')", 1),
        ("graph[0][3].__class__ = type('M', (), {'__module__': '__main__'})", "type(graph[0][3]).__name__ == 'M'", 1),
        ("graph[1][0].b = graph[1][0].a; del graph[1][0].a", "graph[1][0].b == 1 and not hasattr(graph[1][0], 'a')", 1),
        ("graph[1][1].add(3)", "graph[1][1] == {1, 2, 3}", 1),
        ("graph[1][2].appendleft(2)", "list(graph[1][2]) == [2, 1]", 1),
        ("d = graph[1][3]; d['a'] = 2; d['k'] = d.pop('k')", "list(graph[1][3].items()) == [('a', 2), ('k', 1)]", 1),
        ("graph[0].reverse()", "graph[0][-1] is first", 1),
        ("graph[0].append(graph[0][0])", "graph[0][-1] is first", 1),
        ("graph[1][4].offset = 1", "graph[1][4].offset == 1", None),
        ("graph[1][5].mark = 2", "graph[1][5].mark == 2", None),
        ("graph[1][6].mark = 2", "graph[1][6].mark == 2", None),
        ("graph[1][7]()", "graph[1][8]() == 1001", None),
    ],
)
@pytest.mark.parametrize("side", ["here", "there"])
def test_a_change_is_told_and_little_else(graph, change, look, most, side):
    """Classes and functions go along with what is told: five there are."""
    for namespace in (graph.here, graph.there):
        namespace["first"] = namespace["graph"][0][0]
    if side == "here":
        graph.cell(change)
        graph.ship("graph")
    else:
        graph.remote_exec(change)
        graph.collect("graph")
    for namespace in (graph.here, graph.there):
        assert eval(look, namespace), look
    assert told(graph.last) > 0
    if most is not None:
        assert told(graph.last) <= most + 20, told(graph.last)


def test_what_changed_and_changed_back_is_right_on_both_sides(graph):
    """Also when the change was told by another way than the name it is looked at by."""
    graph.cell("part = graph[0][3].xs; old = part[0]")
    graph.run("part.append(1)", "part")
    graph.cell("part.pop()")
    graph.ship("part")
    graph.ship("graph")
    assert graph.there["graph"][0][3].xs == [0]
    graph.run("graph[0][3].xs.append(2)", "graph")
    assert graph.here["part"] == [0, 2] and graph.there["part"] == [0, 2]


def test_what_both_sides_changed_in_one_component_is_kept(graph):
    """A thread of the notebook changes one object during a run that changes another."""
    graph.ship("graph")
    graph.remote_exec("graph[0][1].xs.append('there')")
    graph.cell("graph[0][2].xs.append('here')")
    graph.collect("graph")
    graph.ship("graph")
    for namespace in (graph.here, graph.there):
        assert [node.xs for node in namespace["graph"][0][1:3]] == [[0, "there"], [0, "here"]]


def test_a_payload_that_was_not_installed_is_told_again(graph):
    """The receiver could not decode it: the sender, which has remembered it already, tells everything once more."""
    graph.remote_exec("graph[0][1].xs.append(1)")
    capture = graph.remote.collect(["graph"], limit_bytes=None)
    payload = graph.remote.pack(capture)
    graph.remote.sent(payload)
    graph.local._give_back(payload, ["graph"])
    graph.ship("nodes")
    graph.collect("graph")
    assert graph.here["graph"][0][1].xs == graph.there["graph"][0][1].xs


def test_what_a_thread_changes_while_it_is_told_is_told_again(graph):
    """Between the look at it and the agreement on it."""
    ready, done = threading.Event(), threading.Event()

    def work():
        ready.set()
        done.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(60)
        graph.cell("fresh = [[0], [0]]")
        capture = graph.local.capture(["fresh"])
        graph.cell("fresh[0].append(1)")
        payload = graph.local.pack(capture)
        graph.remote.apply(graph.remote.unpack(over_the_wire(payload)))
        graph.local.sent(payload)
    finally:
        done.set()
        thread.join()
    graph.cell("fresh[1].append(2)")
    graph.ship("fresh")
    assert graph.there["fresh"] == [[0, 1], [0, 2]]


def test_a_successor_reaches_what_holds_its_predecessor(pair):
    """What cannot be changed in place goes as a new one, into holders that look unchanged."""
    pair.cell(
        "import datetime\nclass Odd:\n    def __init__(self, n): self.n = n\n    def __reduce__(self): return Odd, (self.n,)\n"
    )
    pair.cell("odd = Odd(1); holders = [[odd] for _ in range(5)]; graph = [odd, holders, (odd, holders)]")
    pair.ship("graph")
    pair.cell("odd.n = 2")
    pair.ship("graph")
    there = pair.there["graph"]
    assert there[0].n == 2 and all(holder[0] is there[0] for holder in there[1])
    assert there[2][0] is there[0] and there[2][1] is there[1]


def test_numpy_records_in_lists_are_seen(pair):
    """A record can change, and has no number."""
    numpy = pytest.importorskip("numpy")
    pair.cell("import numpy as np\nrecord = np.zeros(2, 'i4,f8')[0].copy(); graph = [[record], [1]]")
    pair.ship("graph")
    pair.cell("record[0] = 7; graph[1].append(2)")
    pair.ship("graph")
    assert pair.there["graph"][0][0][0] == 7 and isinstance(pair.there["graph"][0][0], numpy.void)


def test_a_class_that_its_module_no_longer_has_stays_one(pair, monkeypatch):
    """Instances that look unchanged are given it once it goes by value."""
    module = types.ModuleType("lib_reloaded")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("class Item: pass", vars(module))
    pair.here["kept"], pair.here["kind"] = module.Item(), module.Item
    pair.ship("kept", "kind")
    exec("class Item: pass", vars(module))
    pair.ship("kept", "kind")
    assert type(pair.there["kept"]) is pair.there["kind"]


@pytest.mark.parametrize("kind", [list, dict])
def test_many_are_compared_as_each_of_them_is(kind):
    """Equal values that are other objects count as a change, an order that is another one too, whatever their neighbours are."""

    def make(members):
        return list(members) if kind is list else {f"key{index}": member for index, member in enumerate(members)}

    chance = random.Random(0)
    for _ in range(200):
        objects = [make(["a", [], 1.5, None][: chance.randrange(5)]) for _ in range(chance.randrange(1, 8))]
        before = [content_of(obj) for obj in objects]
        for obj in chance.sample(objects, chance.randrange(len(objects) + 1)):
            change = chance.randrange(4)
            if change == 0:
                obj.clear()
            elif change == 1 and obj:
                obj.pop() if kind is list else obj.popitem()
            elif change == 2:
                obj.append([]) if kind is list else obj.update(new=[])
            elif obj:
                obj[0 if kind is list else "key0"] = []
        assert still_among(objects, before) == [is_still(obj, content) for obj, content in zip(objects, before, strict=True)]


def test_objects_of_other_kinds_are_compared_too():
    members = [set(), {1, 2}]
    before = [content_of(each) for each in members]
    members[1].add(3)
    assert still_among(members, before) == [True, False]
    assert still_among([], []) == []
