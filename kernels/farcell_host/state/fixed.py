"""Objects that cannot change, but in ways that nobody uses: as long as all that is in one stays, the peer's own stands for it."""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import pathlib
import re
import types
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from .generics import is_alias, is_variable, parts_of_alias

ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented)})
"""Whether two of these are one object is nobody's affair."""

_LEAVES = frozenset({
    datetime.date, datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath, range, re.Pattern,
})  # fmt: skip
_PARTS: dict[type, Callable[[Any], Iterable[Any]]] = {
    property: lambda made: (made.fget, made.fset, made.fdel),
    classmethod: lambda made: (made.__func__,),
    staticmethod: lambda made: (made.__func__,),
    slice: lambda made: (made.start, made.stop, made.step),
    re.Match: lambda match: (match.re, match.string),
    types.MethodType: lambda method: (method.__self__, method.__func__),
    types.BuiltinFunctionType: lambda method: (method.__self__,),
}
_WITH_ZONE = frozenset({datetime.datetime, datetime.time})


def _is_fixed(kind: Any) -> bool:
    """Whether objects of this type cannot change, by a rule that tells what is in them."""
    if kind in (tuple, frozenset) or kind in _LEAVES or kind in _WITH_ZONE or kind in _PARTS:
        return True
    if is_alias(kind) or is_variable(kind):
        return True
    reduces = kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
    return issubclass(kind, tuple) and not kind.__dictoffset__ and not reduces


is_fixed: Callable[[Any], bool] = functools.lru_cache(4096)(_is_fixed)


def parts_of(obj: Any) -> Iterable[Any]:
    """What is in an object of a fixed type."""
    kind = type(obj)
    if kind is tuple or kind is frozenset:
        return obj  # type: ignore[no-any-return]
    if kind in _LEAVES or is_variable(kind):
        return ()
    if kind in _PARTS:
        return _PARTS[kind](obj)
    if is_alias(kind):
        return parts_of_alias(obj)
    if kind in _WITH_ZONE:
        return (obj.tzinfo,)
    return (kind, *tuple.__iter__(obj))
