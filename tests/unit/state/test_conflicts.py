"""What both sides have changed since a run left is set aside, and settled as the person says."""

from __future__ import annotations

from typing import Any

import pytest
from farcell_host.state.placeholders import DELETED
from farcell_host.state.watch import Watch

from .conftest import Pair, over_the_wire


class Run:
    """One remote cell in whose midst this notebook goes on."""

    def __init__(self, pair: Pair, names: str, remotely: str, meanwhile: str) -> None:
        self.pair = pair
        watch = Watch(dict(pair.here))
        watch.names.update(pair.ship(*names.split()).given)
        pair.remote_exec(remotely)
        pair.cell(meanwhile)
        visible = [name for name in (*pair.there, *names.split()) if not name.startswith("__")]
        payload = pair.remote.pack(pair.remote.collect(visible, limit_bytes=1 << 20))
        pair.remote.sent(payload)
        delta = pair.local.unpack(over_the_wire(payload))
        self.aside = pair.local.set_aside(delta, watch)
        pair.local.apply(delta)

    @property
    def names(self) -> list[str]:
        return sorted(self.aside.names) if self.aside is not None else []

    def settle(self, take: bool) -> list[str]:
        return self.pair.local.settle(self.aside, take)


CONFLICTS = {
    "a list": ("x = [1]", "x.append(2)", "x.append(3)", "x == [1, 3]", "x == [1, 2]"),
    "a dict within": ("x = {'a': {}}", "x['a']['r'] = 1", "x['a']['l'] = 1", "x == {'a': {'l': 1}}", "x == {'a': {'r': 1}}"),
    "a name bound anew": ("x = 1", "x = 2", "x = 3", "x == 3", "x == 2"),
    "a name made": ("y = 0", "x = 2", "x = 3", "x == 3", "x == 2"),
    "a name deleted there": ("x = [1]", "del x", "x = [2]", "x == [2]", "'x' not in globals()"),
    "a name deleted here": ("x = [1]", "x.append(2)", "del x", "'x' not in globals()", "x == [1, 2]"),
    "an array": ("import numpy; x = numpy.zeros(2)", "x[0] = 1", "x[1] = 1", "x.tolist() == [0, 1]", "x.tolist() == [1, 0]"),
    "a large array": (
        "import numpy; x = numpy.zeros(100_000)", "x[0] = 1", "x[9] = 1", "x[0] == 0 and x[9] == 1", "x[0] == 1 and x[9] == 0",
    ),
    "a class attribute": ("class x: n = 0", "x.n = 1", "x.n = 2", "x.n == 2", "x.n == 1"),
    "an instance": ("class C: pass\nx = C()", "x.r = 1", "x.l = 1", "vars(x) == {'l': 1}", "vars(x) == {'r': 1}"),
    "an alias made there": ("x = [1]", "z = x; x.append(2)", "x.append(3)", "x == [1, 3]", "z is x == [1, 2]"),
}  # fmt: skip


@pytest.mark.parametrize("take", [True, False], ids=["remote", "local"])
@pytest.mark.parametrize("make, remotely, meanwhile, kept, taken", CONFLICTS.values(), ids=CONFLICTS)
def test_neither_side_overwrites_the_other(make_pair, make, remotely, meanwhile, kept, taken, take):
    """The notebook's value stands until the conflict is settled, either way; then both sides have the same again."""
    pair = make_pair()
    pair.cell(make)
    known = [name for name in ("x", "y") if name in pair.here]
    before = pair.here.get("x")
    run = Run(pair, " ".join(known), remotely, meanwhile)
    assert "x" in run.names
    assert eval(kept, pair.here)
    run.settle(take)
    assert eval(taken if take else kept, pair.here)
    if isinstance(before, (list, dict)) and "append" in meanwhile:
        assert pair.here["x"] is before
    pair.run("seen = 1", *(name for name in ("x", "y") if name in pair.here))
    if "x" in pair.here:
        assert eval(taken if take else kept, pair.there)
    pair.run("x = [x]" if "x" in pair.here else "x = []", *(name for name in ("x",) if name in pair.here))
    assert isinstance(pair.here["x"], list)


def test_only_what_conflicts_is_set_aside(pair):
    """Other names that the run changed are merged."""
    pair.cell("x = [1]; other = [1]; untouched = [1]")
    run = Run(pair, "x other untouched", "x.append(2); other.append(2); new = 5", "x.append(3); untouched.append(3)")
    assert run.names == ["x"]
    assert (pair.here["other"], pair.here["new"], pair.here["untouched"]) == ([1, 2], 5, [1, 3])


def test_changes_of_one_side_are_no_conflict(pair):
    """A thread that changes what the run leaves alone loses nothing, and its change goes along next time."""
    pair.cell("x = [1]; y = [1]")
    run = Run(pair, "x y", "y.append(2)", "x.append(3)")
    assert run.aside is None
    pair.run("z = list(x)", "x")
    assert pair.here["z"] == [1, 3]


def test_what_decoding_makes_is_no_change_of_this_side(pair):
    """A combined flag is put into its class's table with the merge, and not by looking at what came."""
    pair.cell("from enum import Flag\nclass Perm(Flag):\n    R = 1\n    W = 2\n    X = 4\nmine = Perm.R")
    run = Run(pair, "Perm mine", "mine = Perm.W | Perm.X; also = ~Perm.W", "pass")
    assert run.aside is None
    assert pair.here["mine"] is pair.here["Perm"](6)
    assert pair.here["also"] is pair.here["Perm"](5)


def test_what_was_not_merged_leaves_flags_unmet(pair):
    pair.cell("from enum import Flag\nclass Perm(Flag):\n    R = 1\n    W = 2\nmine = Perm.R")
    pair.ship("Perm", "mine")
    pair.remote_exec("mine = Perm.R | Perm.W")
    payload = pair.remote.pack(pair.remote.collect(("mine",)))
    before = dict(pair.here["Perm"]._value2member_map_)
    pair.local.unpack(over_the_wire(payload))
    assert pair.here["Perm"]._value2member_map_ == before


def test_a_name_that_went_without_its_value_is_no_conflict(pair):
    """A cell that deletes a name before it binds it anew is not sent its value."""
    pair.cell("x = [1]")
    watch = Watch(dict(pair.here))
    capture = pair.local.capture((), optional={"x": DELETED})
    watch.names.update(capture.given)
    payload = pair.local.pack(capture)
    pair.remote.apply(pair.remote.unpack(over_the_wire(payload)))
    pair.local.sent(payload)
    pair.remote_exec("del x; x = [2]")
    back = pair.remote.pack(pair.remote.collect(("x",)))
    assert pair.local.set_aside(pair.local.unpack(over_the_wire(back)), watch) is None


def test_the_other_names_of_a_conflict_are_sent_again(pair):
    """A name that shares an object with the conflict does not go on meaning the target's version there."""
    pair.cell("shared = [1]; x = [shared]; also = [shared]")
    pair.ship("x", "also")
    run = Run(pair, "x", "shared_there = x[0]; x[0].append(2)", "shared.append(3)")
    run.settle(take=False)
    pair.run("seen = list(also[0])", "also")
    assert pair.here["seen"] == [1, 3]
    pair.run("same = also[0] is x[0]", "also", "x")
    assert pair.here["same"] is True


def test_a_large_value_that_stayed_there_waits_too(pair):
    """A ref whose name was bound here meanwhile is bound when the person takes the target's side."""
    pair.cell("y = 1")
    watch = Watch(dict(pair.here))
    watch.names.update(pair.ship("y").names)
    pair.remote_exec("x = bytearray(100_000)")
    pair.cell("x = 3")
    payload = pair.remote.pack(pair.remote.collect(["x", "y"], limit_bytes=1000))
    pair.remote.sent(payload)
    delta = pair.local.unpack(over_the_wire(payload))
    aside: Any = pair.local.set_aside(delta, watch)
    pair.local.apply(delta)
    assert pair.here["x"] == 3
    pair.local.settle(aside, take=True)
    assert pair.here["x"].info.type == "bytearray"
    pair.run("n = len(x)", "x")
    assert pair.here["n"] == 100_000


def test_what_does_not_fit_any_more_is_told(pair):
    """Settled late, when the object here has become another kind of thing: an error, and nothing is touched."""
    from farcell_host.state import CannotRestore

    pair.cell("import numpy\nx = numpy.zeros(3)")
    run = Run(pair, "x", "x[2] = 1", "x[1] = 1")
    pair.cell("x.resize(2, refcheck=False)")
    with pytest.raises(CannotRestore):
        run.settle(take=True)
    assert pair.here["x"].size == 2
