"""Iterators of Python's own, dict views, and how an iterator that is known already is put where the peer's is.

An iterator over a sequence is set in place: `__setstate__` takes a position, and one past the end ends it for good. The position
is set when all else is merged, since Python cuts it to the length of the sequence. `zip`, `map`, `filter` and their like have no
position of their own: their sources have. What can be set by nothing (`enumerate`, `itertools.count`, iterators of a dict) is
replaced (`replacements.py`). An iterator that has ended lets go of its sequence: it travels as one that has ended.
"""

from __future__ import annotations

import collections
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..no_warnings import no_warnings


class _Nothing:
    """Iterated by position, and empty."""

    def __getitem__(self, index: int) -> Any:
        raise IndexError


_EMPTY: dict[str, Callable[[], Iterator[Any]]] = {
    "list": lambda: iter([]),
    "reversed list": lambda: reversed([]),
    "tuple": lambda: iter(()),
    "str": lambda: iter("a"),
    "wide str": lambda: iter("\u0100"),
    "bytes": lambda: iter(b""),
    "bytearray": lambda: iter(bytearray()),
    "reversed": lambda: reversed(()),
    "sequence": lambda: iter(_Nothing()),
    "callable": lambda: iter(bool, False),
    "chain": itertools.chain,
    "keys": lambda: iter({}.keys()),
    "values": lambda: iter({}.values()),
    "items": lambda: iter({}.items()),
    "reversed keys": lambda: reversed({}.keys()),
    "reversed values": lambda: reversed({}.values()),
    "reversed items": lambda: reversed({}.items()),
}
_NAMES = {type(make()): name for name, make in reversed(_EMPTY.items())}
_IN_DICTS = frozenset(kind for kind, name in _NAMES.items() if name.split()[-1] in ("keys", "values", "items"))
_RUNS_CODE = frozenset(
    {type(iter(_Nothing())), type(iter(bool, False))}
)  # when it is asked for the next: its end is not set in place
_POSITIONED = _NAMES.keys() - _IN_DICTS - _RUNS_CODE - {itertools.chain}
_RANGES = (type(iter(range(0))), type(iter(range(1 << 70))))
_VIEWS = {type(getattr(make(), name)()): name for make in (dict, collections.OrderedDict) for name in ("keys", "values", "items")}


def reducer(kind: type) -> Callable[[Any], Any] | None:
    """How objects of this type go into a pickle; None for their own way."""
    if kind in _VIEWS:
        return _reduce_view
    if kind in _IN_DICTS:
        return _reduce_in_dict
    if kind is itertools.chain:
        return _reduce_chain
    if kind in _NAMES:
        return _reduce_positioned
    return reduced if kind.__module__ == "itertools" else None


def reduced(obj: Any) -> Any:
    """An object's own way into a pickle. That itertools' will end with Python 3.14 is nothing to tell the notebook."""
    if type(obj).__module__ != "itertools" or sys.version_info < (3, 12):
        return obj.__reduce_ex__(4)
    with no_warnings(DeprecationWarning):
        return obj.__reduce_ex__(4)


def is_pure(kind: type) -> bool:
    """Whether an iterator made anew from what it is reduced to is as good as the one that was."""
    return kind in (enumerate, zip, map, filter) or kind.__module__ == "itertools"


# -- iterators over a sequence ---------------------------------------------------------------------------------------------


def _reduce_positioned(iterator: Any) -> Any:
    found = iterator.__reduce__()
    return found if len(found) > 2 else (make_ended, (_NAMES[type(iterator)],))


def _reduce_chain(iterator: Any) -> Any:
    found = reduced(iterator)
    return found if len(found) > 2 else (make_ended, ("chain",))


def make_ended(name: str) -> Iterator[Any]:
    iterator = _EMPTY[name]()
    for _ in iterator:
        pass
    return iterator


def is_positioned(kind: type) -> bool:
    """Whether iterators of this type are merged in place."""
    return kind in _POSITIONED or kind in _RANGES


def position_of(iterator: Any) -> tuple[Any, int | None]:
    """(sequence, position), the position None when it has ended; of a range how many are left."""
    if type(iterator) in _RANGES:
        return None, iterator.__length_hint__()
    found = iterator.__reduce__()
    if len(found) < 3:
        return None, None
    sequence = found[1][0]
    return None if isinstance(sequence, (str, bytes)) else sequence, found[2]


def set_position(iterator: Any, position: tuple[Any, int | None]) -> None:
    """The sequence is the one that it has: it travels so that what has changed in it does."""
    _, at = position
    if type(iterator) in _RANGES:
        done = iterator.__reduce__()[2]
        further = iterator.__length_hint__() - (at or 0)
        iterator.__setstate__(further if done is None else done + further)  # from where it is since Python 3.12
    elif at is not None:
        iterator.__setstate__(at)
    else:
        iterator.__setstate__(-1 if _NAMES[type(iterator)].startswith("reversed") else sys.maxsize)
        for _ in iterator:
            pass


# -- dict views and iterators in dicts -------------------------------------------------------------------------------------


def _dict_under(obj: Any) -> dict[Any, Any] | None:
    found = [each for each in gc.get_referents(obj) if isinstance(each, dict)]
    return found[0] if found else None


def _reduce_view(view: Any) -> Any:
    return make_view, (_dict_under(view), _VIEWS[type(view)])


def make_view(mapping: dict[Any, Any], name: str) -> Any:
    base = collections.OrderedDict if isinstance(mapping, collections.OrderedDict) else dict
    return getattr(base, name)(mapping)


def _reduce_in_dict(iterator: Any) -> Any:
    name, mapping = _NAMES[type(iterator)], _dict_under(iterator)
    if mapping is None:
        return make_ended, (name,)
    left = iterator.__length_hint__()
    if left == 0 and _is_broken(iterator):
        return make_broken, (name,)
    return make_in_dict, (mapping, name, len(mapping) - left)


def _is_broken(iterator: Any) -> bool:
    try:
        iterator.__reduce__()
    except RuntimeError:  # its dict has changed size
        return True
    return False


def make_in_dict(mapping: dict[Any, Any], name: str, done: int) -> Any:
    view = make_view(mapping, name.split()[-1])
    iterator = reversed(view) if name.startswith("reversed") else iter(view)
    for _ in range(done):
        next(iterator)
    return iterator


def make_broken(name: str) -> Any:
    """One whose dict has changed size: it says so when asked."""
    mapping: dict[Any, Any] = {}
    iterator = make_in_dict(mapping, name, 0)
    mapping[0] = 0
    return iterator
