"""What small objects consisted of when both sides agreed on them: of a large graph, only what changed since is told.

A content is a tuple of the very objects that one holds. Those that cannot change are the same as long as they are the same
objects; those that can have a content of their own. An object that holds anything else has no content, and is told each time.
"""

from __future__ import annotations

import collections
import enum
import functools
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, chain, compress, count
from operator import eq, is_, is_not
from types import CellType, ModuleType
from typing import Any

from .arrays import numpy
from .dynamic import slots_of
from .fixed import ATOMS
from .frames import is_structure
from .functions import cell_content, is_by_value
from .kinds import has_getstate, kind_of_type
from .objects import is_of_value
from .sets import finger

Content = tuple[Any, ...]

_AND = object()
"""Between two parts of a content, so that none of one passes for one of the other."""
_NUMBERS: dict[int, int] = {}


def _one(number: int) -> int:
    """Equal numbers as one object."""
    return _NUMBERS.setdefault(number, number)


def content_of(obj: Any) -> Content | None:
    """Of an object of the kinds that have one; None for others, and if it holds something whose changes would not be seen."""
    content = _taken(obj)
    return content if content is not None and all(map(_is_seen, set(map(type, content)))) else None


def is_still(obj: Any, before: Content) -> bool:
    """Whether it consists of what it did."""
    now = _taken(obj)
    return now is not None and len(now) == len(before) and all(map(is_, now, before))


def still_among(objects: list[Any], before: list[Content]) -> list[bool]:
    """`is_still` of each. Lists and dicts are compared together, without a call for each of them."""
    kinds = set(map(type, objects))
    if kinds == {list}:
        return _same_lists(objects, before)
    if kinds == {dict}:
        return _same_lists([(*obj, *obj.values()) for obj in objects], before)
    return [is_still(obj, content) for obj, content in zip(objects, before, strict=True)]


def _same_lists(now: list[Any], before: list[Content]) -> list[bool]:
    """Whether each has the very objects that it had."""
    same = list(map(eq, map(len, now), map(len, before)))
    if not all(same):
        now, before = list(compress(now, same)), list(compress(before, same))
    moved = list(compress(count(), map(is_not, chain.from_iterable(now), chain.from_iterable(before))))
    if moved:
        ends = list(accumulate(map(len, before)))
        owners = iter(range(len(same))) if all(same) else compress(count(), same)
        places = list(owners)
        for index in moved:
            same[places[bisect_right(ends, index)]] = False
    return same


def has_content(kind: type) -> bool:
    """Whether objects of this type may have one."""
    return _taker(kind) is not None


def _taken(obj: Any) -> Content | None:
    kind: Any = type(obj)
    if kind is list:
        return (*obj,)
    if kind is dict:
        return (*obj, *obj.values())
    take = _taker(kind)
    return take(obj) if take is not None else None


@functools.lru_cache(4096)
def _taker(kind: Any) -> Callable[[Any], Content] | None:
    exact: dict[type, Callable[[Any], Content]] = {
        list: lambda obj: (*obj,),
        dict: lambda obj: (*obj, *obj.values()),
        set: lambda obj: (*obj, _one(obj.__sizeof__()), _one(finger(obj))),  # its table's size decides on its order
        collections.deque: lambda obj: (*obj,),
        CellType: cell_content,
    }
    if kind in exact:
        return exact[kind]
    if issubclass(kind, (type, ModuleType)) or kind_of_type(kind) != "object" or has_getstate(kind):
        return None
    return _of_instance_with_slots if _may_have_slots(kind) else _of_instance


def _may_have_slots(kind: type) -> bool:
    return any("__slots__" in base.__dict__ for base in kind.__mro__)


def _of_instance(obj: Any) -> Content:
    attributes = object.__getattribute__(obj, "__dict__") if type(obj).__dictoffset__ else {}
    return (type(obj), *attributes, *attributes.values())


def _of_instance_with_slots(obj: Any) -> Content:
    slots = slots_of(obj)
    return (*_of_instance(obj), _AND, *slots, *slots.values())


@functools.lru_cache(4096)
def _is_seen(kind: Any) -> bool:
    """Whether a change of an object of this type would be seen: it cannot change, or has a number itself."""
    if kind in ATOMS or not is_of_value(kind) or issubclass(kind, enum.Enum):
        return True
    np = numpy()
    if is_by_value(kind) or is_structure(kind) or (np is not None and issubclass(kind, np.void)):
        return False
    return not kind.__dictoffset__
