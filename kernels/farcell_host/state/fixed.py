"""Objects that cannot change: as long as all that is in one stays, the peer's own object stands for it."""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import pathlib
import uuid
from collections.abc import Callable, Iterable
from typing import Any

ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented)})
"""Whether two of these are one object is nobody's affair."""

_LEAVES = frozenset({
    datetime.date, datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
})  # fmt: skip
_WITH_ZONE = frozenset({datetime.datetime, datetime.time})


def _is_fixed(kind: Any) -> bool:
    """Whether objects of this type cannot change, by a rule that tells what is in them."""
    if kind in (tuple, frozenset) or kind in _LEAVES or kind in _WITH_ZONE:
        return True
    reduces = kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
    return issubclass(kind, tuple) and not kind.__dictoffset__ and not reduces


is_fixed: Callable[[Any], bool] = functools.lru_cache(4096)(_is_fixed)


def parts_of(obj: Any) -> Iterable[Any]:
    """What is in an object of a fixed type."""
    kind = type(obj)
    if kind is tuple or kind is frozenset:
        return obj  # type: ignore[no-any-return]
    if kind in _LEAVES:
        return ()
    if kind in _WITH_ZONE:
        return (obj.tzinfo,)
    return (kind, *tuple.__iter__(obj))
