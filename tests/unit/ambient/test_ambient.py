"""What the two sides tell each other of the state around the names, with settings that are plain attributes here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from farcell_host.ambient import Ambient, Provider
from farcell_host.ambient.watch import Watch


class Setting(Provider):
    """One setting of a process of its own."""

    def __init__(self, name="setting", module="sys", value=0, pristine=0):
        self.name, self.module, self.value, self.pristine = name, module, value, pristine

    def take(self):
        return self.value

    def put(self, content):
        if content == "refused":
            raise ValueError("not here")
        self.value = content


@pytest.fixture
def sides():
    return Sides()


class Sides:
    def __init__(self, here=None, there=None):
        self.here, self.there = here or Setting(), there or Setting()
        self.local, self.remote = Ambient(True, [self.here]), Ambient(False, [self.there])

    def tell(self, sender, receiver):
        contents, stamps = sender.changes()
        list(receiver.merge(contents))
        sender.agree(stamps)
        return contents

    def run(self, change=None):
        """Here to there, a cell, and back."""
        out = self.tell(self.local, self.remote)
        if change is not None:
            self.there.value = change
        return out, self.tell(self.remote, self.local)


def test_only_what_changed_is_told(sides):
    """What both sides have is not told again, by either of them."""
    assert sides.run() == ({}, {})
    sides.here.value = 1
    assert sides.run() == ({"setting": 1}, {})
    assert sides.there.value == 1
    assert sides.run() == ({}, {})
    assert sides.run(change=2) == ({}, {"setting": 2})
    assert sides.here.value == 2
    assert sides.run() == ({}, {})


def test_what_was_set_before_the_first_run_is_told():
    """The notebook's settings count from its first cell on."""
    sides = Sides(here=Setting(value=5))
    assert sides.run() == ({"setting": 5}, {})


def test_what_was_not_sent_is_told_again(sides):
    """A run that was refused has installed nothing."""
    sides.here.value = 1
    assert sides.local.changes()[0] == {"setting": 1}
    assert sides.run() == ({"setting": 1}, {})


def test_a_put_can_be_taken_back(sides):
    """A merge that fails leaves everything as it was, and what was taken back is told when it counts again."""
    merge = sides.local.merge({"setting": 7})
    undo = next(merge)
    list(merge)
    assert sides.here.value == 7
    undo()
    assert sides.here.value == 0


def test_what_cannot_be_set_here_stops_nothing(sides):
    """Another version of a library may not know a value: the cell runs, and the value is not told back."""
    sides.here.value = "refused"
    assert sides.run() == ({"setting": "refused"}, {})
    assert sides.there.value == 0


def test_settings_of_a_module_wait_until_it_is_imported(tmp_path: Path, monkeypatch):
    """The cell that imports it finds the notebook's settings in force; nothing is imported for their sake."""
    (tmp_path / "ambient_tested.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    there = Setting(module="ambient_tested")
    remote = Ambient(False, [there])
    finders = len(sys.meta_path)
    list(remote.merge({"setting": 1}))
    list(remote.merge({"setting": 2}))
    assert "ambient_tested" not in sys.modules and there.value == 0
    try:
        import ambient_tested

        assert ambient_tested.loaded and there.value == 2
        assert type(ambient_tested.__spec__.loader) is type(ambient_tested.__loader__)
        assert "farcell" not in type(ambient_tested.__loader__).__module__
        assert remote.changes()[0] == {} and len(sys.meta_path) == finders
    finally:
        sys.modules.pop("ambient_tested", None)


class Watched(Setting):
    """One that can be seen in memory, and is looked at only when that has changed."""

    def __init__(self, **options):
        super().__init__(**options)
        self.state, self.looks, self.here = {"value": 0}, 0, True

    @property
    def is_here(self):
        return self.here and super().is_here

    def watch(self):
        watch = Watch()
        watch.dict(self.state)
        return watch

    def take(self):
        self.looks += 1
        return self.state["value"]

    def put(self, content):
        self.state["value"] = content


@pytest.fixture
def watched():
    sides = Sides(here=Watched(), there=Watched())
    sides.run()
    sides.run()
    return sides


def test_what_is_unchanged_is_not_looked_at(watched):
    """Only its memory, in one comparison for all that there is."""
    before = watched.here.looks, watched.there.looks
    for _ in range(5):
        assert watched.run() == ({}, {})
    assert (watched.here.looks, watched.there.looks) == before
    watched.here.state["value"] = 1
    assert watched.run() == ({"setting": 1}, {})
    watched.there.state["value"] = 2
    assert watched.run() == ({}, {"setting": 2})
    assert watched.here.state == watched.there.state == {"value": 2}
    assert watched.run() == ({}, {})


def test_memory_that_has_changed_to_no_effect_tells_nothing(watched):
    """And is not looked at again."""
    watched.here.state.update(other=object())
    assert watched.run() == ({}, {})
    looks = watched.here.looks
    assert watched.run() == ({}, {}) and watched.here.looks == looks


def test_a_change_that_was_told_in_vain_is_told_again(watched):
    """The peer has not installed it."""
    watched.here.state["value"] = 1
    assert watched.local.changes()[0] == watched.local.changes()[0] == {"setting": 1}
    assert watched.run() == ({"setting": 1}, {})


def test_what_comes_later_is_told_then():
    """Without any import: IPython's shell, say, is made some time after its module was loaded."""
    late = Watched()
    late.here = False
    sides = Sides(here=late)
    assert sides.run() == sides.run() == ({}, {})
    late.here, late.state["value"] = True, 3
    assert sides.run() == ({"setting": 3}, {})


def test_a_module_that_was_imported_anew_is_looked_at_anew(watched, monkeypatch):
    """What was watched is the old one's."""
    looks = watched.here.looks
    watched.here.module = watched.there.module = "ambient_anew"
    for module in (ModuleType("ambient_anew"), ModuleType("ambient_anew")):
        monkeypatch.setitem(sys.modules, "ambient_anew", module)
        watched.here.state = {"value": looks}
        watched.run()
        assert watched.there.state["value"] == looks
        looks += 1
