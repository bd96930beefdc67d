"""Sets are walked in the same order on both sides, however they came to be."""

from __future__ import annotations

import random
from typing import Any

import pytest
from farcell_host.state import sets


def _grown(chooser: random.Random) -> set[int]:
    made: set[int] = set()
    for _ in range(chooser.randint(1, 4)):
        members = [chooser.randint(0, 40) for _ in range(chooser.randint(0, 4))]
        if chooser.random() < 0.5:
            made |= set(members)
        else:
            made.update(members)
    return made


def _anew(members: set[Any]) -> set[Any]:
    anew: set[Any] = set()
    sets.fill(anew, *sets.recipe(members))
    assert anew == members
    return anew


def test_a_recipe_gives_the_same_walk():
    """Sets grown one by one, by other sets and by both."""
    chooser = random.Random(1)
    for _ in range(2000):
        members = _grown(chooser)
        assert list(_anew(members)) == list(members)


@pytest.mark.parametrize("most", [12, 60, 600])
def test_a_set_with_a_history_is_walked_the_same_and_goes_on_so(most):
    """Members that have left are gaps in the table, and count for when it grows: with more added to both they stay alike.

    But for rare ones, whose members have waited for each other.
    """
    chooser = random.Random(most)
    same, count = 0, 200
    for _ in range(count):
        members = {chooser.choice((chooser.randrange(100), str(chooser.random()))) for _ in range(chooser.randrange(2, most))}
        for _ in range(chooser.randrange(most)):
            members.discard(chooser.choice(list(members)))
            members.add(chooser.randrange(1000))
        anew = _anew(members)
        is_alike = list(anew) == list(members)
        more = [chooser.randrange(1 << 40) for _ in range(3)]
        for each in more:
            members.add(each)
            anew.add(each)
        same += is_alike and list(anew) == list(members)
    assert same >= 0.97 * count


def test_where_sets_look_otherwise_the_members_are_the_same(monkeypatch):
    monkeypatch.setattr(sets, "_BYTES", 0)
    members = {5, 13, 21, 1} - {5}
    assert _anew(members) == members


def test_a_set_that_is_new_or_changed_is_walked_as_here(pair):
    """Both ways, alone and inside of another value."""
    pair.cell("a = {5, 1, 10}; a |= {20, 3}; box = [a]")
    pair.run("walk = list(a); b = {4, 3, 10}; b |= {20, 3}; there = list(b); a.add(40); after = list(a)", "a", "box")
    here = pair.here
    assert here["walk"] == [1, 3, 20, 5, 10]
    assert list(here["b"]) == here["there"] and list(here["a"]) == here["after"] and here["box"][0] is here["a"]


def test_a_recipe_goes_on_taking_where_the_set_would():
    """`pop` looks on from where it has found the last member. With more added meanwhile both stay alike, but for rare ones."""
    chooser = random.Random(3)
    alike, count = 0, 1000
    for _ in range(count):
        members = _grown(chooser)
        for _ in range(chooser.randint(0, len(members))):
            members.pop()
        other = _anew(members)
        taken = []
        for _ in range(3):
            more = chooser.randint(0, 40)
            for each in (members, other):
                each.add(more)
            taken.append(other.pop() == members.pop())
        alike += all(taken)
    assert alike >= 0.97 * count


def test_pop_takes_the_same_members_in_the_same_order():
    chooser = random.Random(4)
    for _ in range(1000):
        members = _grown(chooser)
        for _ in range(chooser.randint(0, len(members))):
            members.pop()
        anew = _anew(members)
        assert [anew.pop() for _ in range(len(members))] == [members.pop() for _ in range(len(members))]


def test_pop_goes_on_from_where_it_was_on_the_other_side(pair):
    """Also when nothing but that has changed, when the set is empty meanwhile, and when it is inside of another value."""
    pair.cell("e = {1, 3, 10}; f = {1, 3}; g = {5}; box = [{1, 3, 9}]")
    pair.run("e.discard(10); first = e.pop(); f.add(f.pop()); g.pop(); box[0].pop()", "e", "f", "g", "box")
    here = pair.here
    for name in ("e", "f", "g"):
        here[name].add(1)
    here["g"].update({4, 6})
    assert (here["first"], here["e"].pop(), here["f"].pop(), here["g"].pop(), here["box"][0].pop()) == (1, 3, 3, 6, 3)
    pair.run("again = e.pop(); e.update({1, 2, 3}); third = e.pop()", "e")
    plain = {1, 3, 10}
    plain.discard(10)
    plain.pop()
    plain.add(1)
    plain.pop()
    assert here["again"] == plain.pop()
    plain.update({1, 2, 3})
    assert here["third"] == plain.pop()


def test_where_sets_look_otherwise_pop_begins_anew(monkeypatch):
    monkeypatch.setattr(sets, "_BYTES", 0)
    members = {1, 3}
    members.add(members.pop())
    assert sets.finger(members) == 0
    assert _anew(members) == members
