"""Sets that are walked in the same order on both sides, as far as their members' hashes are the same there.

The order depends on the size of the set's table and on who had to make way for whom. Python shows neither, but an order of adding
and a size that lead to the walk can be searched for. After many removals there may be none: then any order is as good, and so
it is for members whose hash is an address, or the notebook's own code.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import Any

Recipe = tuple[list[Any], int]
"""(members in the order of adding, slots of the table; 0 for those it gets by itself)."""

_HASH_BY_VALUE = frozenset({int, float, bool, complex, str, bytes})
_SMALLEST = 8
_MOST_SEARCHED = 4096
_FEW = 6
_FAR = 1 << 50


def recipe(members: Collection[Any]) -> Recipe:
    """How to fill an empty set so that it is walked as this one is."""
    wanted = list(members)
    if not has_order(wanted) or _walk(wanted, 0) == _ids(wanted):
        return wanted, 0
    most = 720 if len(wanted) < 64 else 8
    slots = _SMALLEST
    while slots * 3 < len(wanted) * 5:
        slots *= 2
    while slots <= 16 * max(8, len(wanted)):
        for order in itertools.islice(_orders(wanted, slots), most):
            for size in (0, slots):
                if _walk(order, size) == _ids(wanted):
                    return order, size
        slots *= 2
    return wanted, 0


def has_order(members: Collection[Any]) -> bool:
    """Whether the order says anything on the other side, and is not too dear to look for."""
    return 1 < len(members) <= _MOST_SEARCHED and _HASH_BY_VALUE.issuperset(map(type, members))


def _orders(wanted: list[Any], slots: int) -> Iterable[list[Any]]:
    """Of a few members all orders; of more, from one in which each stands where its hash says, those that follow from letting go
    first what comes too late in the walk."""
    if len(wanted) <= _FEW:
        yield from map(list, itertools.permutations(wanted))
        return
    order = sorted(wanted, key=lambda each: hash(each) & (slots - 1))
    while True:
        yield order
        walk = _walk(order, slots)
        late = next((each for each, found in zip(wanted, walk, strict=True) if id(each) != found), None)
        if late is None:
            return
        order = [late, *(each for each in order if each is not late)]


def fill(members: set[Any], order: Sequence[Any], slots: int) -> None:
    """Give the set these members, in a table of this size.

    A table grows when three fifths of it are taken, to more than four slots a member; places of members that have left
    count as taken. (CPython 3.10 to 3.13, Objects/setobject.c, set_add_entry.)
    """
    set.clear(members)
    early = slots // _SMALLEST
    if not slots or early > len(order):
        set.update(members, order)
        return
    taken, size = 0, _SMALLEST
    for count, each in enumerate(order[:early], 1):
        if count == early:
            for passing in _strangers(members, size):
                if (taken + 1) * 5 >= (size - 1) * 3:
                    break
                set.add(members, passing)
                set.discard(members, passing)
                taken += 1
        set.add(members, each)
        taken += 1
        if taken * 5 >= (size - 1) * 3:
            size, taken = _grown(count), count
    set.update(members, order[early:])


def _strangers(members: set[Any], size: int) -> Iterable[int]:
    """Numbers that are no members, each with a place of its own in the table: the same ones on both sides."""
    homes = {hash(each) & (size - 1) for each in members}
    return (_FAR + home for home in range(size) if home not in homes and _FAR + home not in members)


def _grown(used: int) -> int:
    size = _SMALLEST
    while size <= used * 4:
        size *= 2
    return size


def arrange(walked: Iterable[Any], places: Sequence[int]) -> list[Any]:
    """Members by their places in a walk."""
    found = list(walked)
    return [found[place] for place in places]


def places(members: Collection[Any]) -> tuple[list[int], int] | None:
    """For a set that a pickle has filled in the order of its walk: how to fill it anew.

    Members are told by their places in the walk that this gives; None where that is right already, or nothing better is known.
    """
    if not has_order(members):
        return None
    wanted = list(members)
    as_pickled = _walk(wanted, 0)
    if as_pickled == _ids(wanted):
        return None
    order, slots = recipe(members)
    if order == wanted and not slots:
        return None
    where = {key: place for place, key in enumerate(as_pickled)}
    return [where[key] for key in _ids(order)], slots


def _ids(members: Iterable[Any]) -> list[int]:
    return list(map(id, members))


def _walk(order: list[Any], slots: int) -> list[int]:
    made: set[Any] = set()
    fill(made, order, slots)
    return _ids(made)
