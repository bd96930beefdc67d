"""Random object graphs keep their values and their aliasing, whatever is done to them on either side."""

from __future__ import annotations

import sys

import pytest
from farcell_host.state import CannotTravel
from hypothesis import given, settings
from hypothesis import strategies as st


class Node:
    """An instance of an importable class."""


def build(plan):
    """Objects made after a plan of (kind, links); a link goes to any object, forward ones too."""
    makers = {"list": list, "dict": dict, "node": Node}
    objects = [makers[kind]() for kind, _, _ in plan]
    for (kind, value, links), obj in zip(plan, objects, strict=True):
        fill(obj, kind, value, [objects[link % len(objects)] for link in links])
    return objects


def fill(obj, kind, value, targets):
    if kind == "list":
        obj[:] = [value, *targets]
    elif kind == "dict":
        obj.clear()
        obj.update({"value": value, **{str(i): each for i, each in enumerate(targets)}})
    else:
        obj.__dict__.clear()
        obj.__dict__.update({"value": value, **{f"to{i}": each for i, each in enumerate(targets)}})


def shape(roots):
    """A picture of a graph in which every object has a serial number."""
    serial: dict[int, int] = {}
    out = []

    def visit(obj):
        if not isinstance(obj, (list, dict, Node)):
            return repr(obj)
        if id(obj) in serial:
            return f"#{serial[id(obj)]}"
        serial[id(obj)] = len(serial)
        mine = serial[id(obj)]
        parts = obj if isinstance(obj, list) else obj if isinstance(obj, dict) else obj.__dict__
        items = [visit(each) for each in parts] if isinstance(obj, list) else [(k, visit(v)) for k, v in parts.items()]
        out.append((mine, type(obj).__name__, items))
        return f"#{mine}"

    return [visit(root) for root in roots], sorted(out)


values = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.floats(allow_nan=False), st.binary(max_size=3))
entries = st.tuples(st.sampled_from(["list", "dict", "node"]), values, st.lists(st.integers(0, 9), max_size=3))
plans = st.lists(entries, min_size=1, max_size=7)
edits = st.lists(st.tuples(st.integers(0, 6), values, st.lists(st.integers(0, 9), max_size=3)), max_size=3)
names = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def kind_of(obj):
    return {list: "list", dict: "dict", Node: "node"}[type(obj)]


def edit(namespace, changes):
    objects = [namespace[name] for name in sorted(namespace) if name.startswith("n")]
    for which, value, links in changes:
        obj = objects[which % len(objects)]
        fill(obj, kind_of(obj), value, [objects[link % len(objects)] for link in links])


@settings(max_examples=150)
@given(plans, names, edits, edits)
def test_graphs_stay_equal_through_exchanges(make_pair, plan, roots, there_edits, here_edits):
    """Ship, change there, collect, change here, ship again: both sides always show the same graph."""
    pair = make_pair()
    objects = build(plan)
    bound = {f"n{i}": objects[root % len(objects)] for i, root in enumerate(roots)}
    pair.here.update(bound)

    def same():
        return shape([pair.here[n] for n in sorted(bound)]) == shape([pair.there[n] for n in sorted(bound)])

    pair.ship(*bound)
    assert same()
    edit(pair.there, there_edits)
    pair.collect(*bound)
    assert same()
    assert all(pair.here[name] is obj for name, obj in bound.items())
    edit(pair.here, here_edits)
    pair.ship(*bound)
    assert same()
    pair.ship(*bound)
    assert not pair.last.header["streams"]
    pair.collect(*bound)
    assert not pair.last.header["streams"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="optional: from Python 3.12 on pickle has a limit of its own")
def test_graphs_deeper_than_the_recursion_limit_travel(pair):
    """A chain of five thousand links and lists in lists; what recurses for ever is refused."""
    pair.cell(
        "class N:\n    def __init__(self, next): self.next = next\n"
        "last = first = N(None)\nfor _ in range(5000): first = N(first)\nxs = []\nfor _ in range(5000): xs = [xs]\n"
        "class Endless(set):\n    def __reduce__(self): return Endless, (Endless(),)\nendless = Endless()"
    )
    last = pair.here["last"]
    pair.run("n = first\nwhile n.next: n = n.next\nn.end = True; del n", "first", "xs")
    assert last.end
    with pytest.raises(CannotTravel, match="nested too deeply"):
        pair.ship("endless")


def test_a_graph_that_is_far_too_deep_is_refused_at_once(pair):
    """Without looking for the part that fails, which each of its hundred thousand parts does."""
    pair.cell("xs = []\nfor _ in range(100_000): xs = [xs]")
    with pytest.raises(CannotTravel, match=r"^xs: a list nested too deeply \(recursion limit \d+\)"):
        pair.ship("xs")
