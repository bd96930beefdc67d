"""Sets that are walked in the same order on both sides, as far as their members' hashes are the same there, and that `pop` goes
on taking from in the same order.

The order depends on where in the set's table each member is: where its hash says, or further on, if that place was taken when it
came, also by a member that has left since. Python shows no places, so the table is read where it lies in memory, and another one
filled so that each member finds its own place. (CPython 3.10 to 3.13, Objects/setobject.c: set_add_entry, set_table_resize.)
`pop` looks for a member from the place on at which it has found the last one, its finger (set_pop): so that is told, too.

Any order is as good for members whose hash is an address, or the notebook's own code.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import Any

Order = tuple[list[Any], int, list[int]]
"""(members in the order of adding, slots of the table, its places that are taken meanwhile); 0 slots: what it gets by itself."""
Recipe = tuple[list[Any], int, list[int], int]
"""An order, and where `pop` begins to look."""

_HASH_BY_VALUE = frozenset({int, float, bool, complex, str, bytes})
_SMALLEST = 8
_BYTES, _ENTRY_BYTES = 200, 16
_FIELDS = 6  # fill, used, mask, table, hash, finger
_LINEAR_PROBES = 9
_PERTURB_SHIFT = 5
_MOST_SEARCHED = 4096
_FAR = 1 << 50
_GAP = 1
"""Where a member has been that has left: the id of nobody."""


def recipe(members: Collection[Any]) -> Recipe:
    """How to fill an empty set so that it is walked as this one is, also when more is added to both or taken from them."""
    order = _order(members)
    return (*order, _begin(members, order))


def _begin(members: Collection[Any], order: Order) -> int:
    """The finger in a set that is filled so: at whom `pop` would take next, where the two tables differ."""
    begins = finger(members)
    if not begins or len(members) > _MOST_SEARCHED:
        return begins
    made = _made(order)
    table, other = _table(members), _table(made)
    if table is None or other is None or _without_gaps(table) == _without_gaps(other):
        return begins
    place = begins & (len(table) - 1)
    following = next((key for key in (*table[place:], *table[:place]) if key not in (0, _GAP)), None)
    return other.index(following) if following is not None else begins


def _without_gaps(table: list[int]) -> list[int]:
    return [0 if key == _GAP else key for key in table]


def finger(members: Collection[Any]) -> int:
    """0 for a set that nothing was ever popped from, and where that cannot be known."""
    field = _finger(members)
    return field.value if field is not None else 0


def fingers(objects: Iterable[Any]) -> bytes:
    """Of all sets among these, as part of a fingerprint."""
    return b"".join(finger(each).to_bytes(8, "little", signed=True) for each in objects if type(each) is set)


def _finger(members: Collection[Any]) -> Any:
    """The field itself, as ctypes has it."""
    if set.__basicsize__ != _BYTES or not isinstance(members, set):
        return None
    _, used, mask, _, _, _ = (ctypes.c_ssize_t * _FIELDS).from_address(id(members) + object.__basicsize__)
    if used != len(members) or mask + 1 != _slots(members):
        return None
    return ctypes.c_ssize_t.from_address(id(members) + object.__basicsize__ + (_FIELDS - 1) * ctypes.sizeof(ctypes.c_ssize_t))


def _order(members: Collection[Any]) -> Order:
    as_walked: Order = list(members), 0, []
    if not has_order(members) and not (len(members) < 2 and finger(members)):
        return as_walked
    table = _table(members)
    return as_walked if table is None or _table(_made(as_walked)) == table else _found(members, table) or as_walked


def has_order(members: Collection[Any]) -> bool:
    """Whether the order says anything on the other side, and is not too dear to look for."""
    return 1 < len(members) <= _MOST_SEARCHED and _HASH_BY_VALUE.issuperset(map(type, members))


def _found(members: Any, table: list[int]) -> Order | None:
    slots, wanted = len(table), {id(each): each for each in members}
    at = {place: wanted[key] for place, key in enumerate(table) if key in wanted}
    before = {place: _passed_by(hash(each), slots - 1, place) for place, each in at.items()}
    order = _in_order(before)
    if order is None:
        return None
    gaps = [place for place, key in enumerate(table) if key == _GAP]
    how = [at[place] for place in order], slots, gaps
    if _table(_made(how)) == table:
        return how
    free = [place for place, key in enumerate(table) if not key]
    more = how[0], slots, gaps + free[: max(0, _room(slots) - len(wanted) - len(gaps))]
    return next((each for each in (how, more) if list(map(id, _made(each))) == list(wanted)), None)


def _table(members: Any) -> list[int] | None:
    """The id of who is at each place; None where sets look otherwise than is known here."""
    if set.__basicsize__ != _BYTES:
        return None
    header = (ctypes.c_ssize_t * 4).from_address(id(members) + object.__basicsize__)
    _, used, mask, entries = header
    if used != len(members) or mask + 1 != _slots(members):
        return None
    ids = {0, *map(id, members)}
    return [key if key in ids else _GAP for key in (ctypes.c_size_t * (2 * (mask + 1))).from_address(entries)[::2]]


def _slots(members: Any) -> int:
    kind: Any = set if isinstance(members, set) else frozenset
    return (kind.__sizeof__(members) - type(members).__basicsize__) // _ENTRY_BYTES or _SMALLEST


def _made(how: Order) -> set[Any]:
    made: set[Any] = set()
    fill(made, *how)
    return made


def _passed_by(hashed: int, mask: int, place: int) -> list[int]:
    """Places where a member has looked for room before it found this one."""
    perturb, start = hashed & ((1 << 64) - 1), hashed & mask
    found: list[int] = []
    while len(found) <= 8 * mask:
        for each in range(start, start + (_LINEAR_PROBES if start + _LINEAR_PROBES <= mask else 0) + 1):
            if each == place:
                return found
            found.append(each)
        perturb >>= _PERTURB_SHIFT
        start = (start * 5 + 1 + perturb) & mask
    return found


def _in_order(before: dict[int, list[int]]) -> list[int] | None:
    """Places so that each comes after those before it, those first that wait for none; None if there is a circle."""
    order: dict[int, None] = {}
    left = sorted(before, key=lambda place: bool(before[place]))
    while left:
        later = []
        for place in left:
            if all(each in order or each not in before for each in before[place]):
                order[place] = None
            else:
                later.append(place)
        if len(later) == len(left):
            return None
        left = later
    return list(order)


def _room(slots: int) -> int:
    """How many must come at once for a table of this size."""
    return max(slots // 4, 5) if slots > _SMALLEST else 0


def fill(members: set[Any], order: Sequence[Any], slots: int, taken: Sequence[int] = (), begins: int | None = None) -> None:
    """Give the set these members, in a table of this size; `begins`: its finger, which stays where it is without that.

    An update by a dict makes room for twice as many as there are in both before it adds the first, also where some are the same.
    """
    set.clear(members)
    strangers = [_stranger(place, slots, order) for place in taken]
    coming, room = [*strangers, *order], _room(slots)
    if room:
        set.update(members, coming[: max(0, room - len(coming))])
        set.update(members, dict.fromkeys(coming[:room]))
    set.update(members, coming[room:])
    for each in strangers:
        set.discard(members, each)
    field = _finger(members) if begins is not None else None
    if field is not None:
        field.value = begins


def _stranger(place: int, slots: int, members: Iterable[Any]) -> int:
    """A number that is no member, with this place in the table."""
    numbers = {each for each in members if isinstance(each, (int, float, complex))}
    return next(each for each in itertools.count(_FAR + place, slots) if each not in numbers)


def arrange(walked: Iterable[Any], places: Sequence[int]) -> list[Any]:
    """Members by their places in a walk."""
    found = list(walked)
    return [found[place] for place in places]


def places(members: Collection[Any]) -> Recipe | None:
    """For a set that a pickle has filled in the order of its walk: how to fill it anew.

    Members are told by their places in the walk that this gives; None where that is right already, or nothing better is known.
    """
    order, slots, taken, begins = recipe(members)
    if not slots:
        return (list(range(len(order))), 0, [], begins) if begins else None
    where = {id(each): place for place, each in enumerate(_made((list(members), 0, [])))}
    return [where[id(each)] for each in order], slots, taken, begins
