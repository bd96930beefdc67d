"""What the interpreter's memory shows of a change, on every Python that farcell runs on."""

from __future__ import annotations

import types

from farcell_host.ambient import memory
from farcell_host.ambient.watch import Watch


class Record:
    def __init__(self):
        self.first, self.second = 1, 2


def set_first(record, value):
    record.first = value


def test_this_python_shows_what_it_must():
    """Else every look is by value, which is slower."""
    assert memory._SHOWS_DICTS and memory._SHOWS_ATTRIBUTES


def test_each_change_of_a_dict():
    """Also by functions whose code the interpreter has specialised; reading changes nothing."""
    module = types.ModuleType("m")
    exec("value = 0\ndef put(new):\n    global value\n    value = new\ndef get(): return value", vars(module))
    view = memory.of_dict(vars(module))
    assert view is not None
    for number in range(2000):
        before = bytes(view)
        module.put(object())
        assert bytes(view) != before, number
        before = bytes(view)
        module.get()
        assert bytes(view) == before


def test_each_change_of_an_instance():
    """However its attributes lie: beside it, in a dict, and in a dict after it was looked at."""
    many = Record()
    for number in range(100):
        setattr(many, f"a{number}", number)
    looked_at = Record()
    assert vars(looked_at)
    replaced = Record()
    replaced.__dict__ = {"first": 0}
    values = [object() for _ in range(2000)]
    for record in (Record(), many, looked_at, replaced):
        view = memory.of_attributes(record)
        assert view is not None
        for value in values:
            before = bytes(view)
            set_first(record, value)
            assert bytes(view) != before
            before = bytes(view)
            assert record.first is value and bytes(view) == before
        before = bytes(view)
        record.new = values
        assert bytes(view) != before
        view = memory.of_attributes(record)  # whoever has seen a change looks where they lie now
        before = bytes(view)
        del record.new
        assert bytes(view) != before


def test_lists_by_their_length_and_by_what_is_in_them():
    """Of an empty one its length says all."""
    empty, full = [], [1, 2]
    watch = Watch()
    watch.list(empty)
    watch.list(full)
    watch.see()
    assert watch.is_same
    full[0] = 3
    assert not watch.is_same
    full[0] = 1
    assert watch.is_same
    empty.append(1)
    assert not watch.is_same


def test_what_is_watched_stays_alive():
    """Its memory may be read at any time."""
    watch = Watch()
    watch.dict({"a": 1})
    watch.list([])
    watch.attributes(Record())
    for _ in range(1000):
        assert [{}, [], Record()]
    assert watch.see().is_same


def test_lists_are_seen_to_change_in_place() -> None:
    """Whatever is put into one, at an item's place too."""
    contents = [["serif", "sans"], [1.5]]
    watch = Watch()
    watch.lists(contents)
    watch.see()
    assert watch.is_same
    for change, undo in (
        (lambda: contents[0].__setitem__(1, "mono"), lambda: contents[0].__setitem__(1, "sans")),
        (lambda: contents[1].append(2), lambda: contents[1].pop()),
        (contents[0].reverse, contents[0].reverse),
    ):
        change()
        assert not watch.is_same
        undo()
        assert watch.is_same
