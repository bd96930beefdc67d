"""Sets are walked in the same order on both sides, however they came to be."""

from __future__ import annotations

import random

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


def test_a_recipe_gives_the_same_members_and_mostly_the_same_walk():
    """Sets grown one by one, by other sets and by both; of up to six members the order is always found but for rare sizes."""
    chooser = random.Random(1)
    few = same = 0
    for _ in range(2000):
        members, anew = _grown(chooser), set()
        sets.fill(anew, *sets.recipe(members))
        assert anew == members
        if len(members) <= 6:
            few, same = few + 1, same + (list(anew) == list(members))
    assert same >= 0.995 * few


def test_a_set_that_is_new_or_changed_is_walked_as_here(pair):
    """Both ways, alone and inside of another value."""
    pair.cell("a = {5, 1, 10}; a |= {20, 3}; box = [a]")
    pair.run("walk = list(a); b = {4, 3, 10}; b |= {20, 3}; there = list(b); a.add(40); after = list(a)", "a", "box")
    here = pair.here
    assert here["walk"] == [1, 3, 20, 5, 10]
    assert list(here["b"]) == here["there"] and list(here["a"]) == here["after"] and here["box"][0] is here["a"]
