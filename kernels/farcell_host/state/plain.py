"""Data: the closed set of kinds that a notebook takes from a target with `trust = "data"`, and their form on the wire.

Builtin values go as pickle writes them. Whatever else is of the set goes as a call of the one function `made`, with the name of a
maker of the table `MAKERS` and arguments that are data again; a maker checks all that it is given, and calls nothing of the
sender's. The notebook reads that by `plainreader.py`, which has no other way to make anything.

numpy and pandas are only looked at when the program has imported them.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import importlib
import math
import os
import pathlib
import re
import sys
import uuid
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from . import plainframes
from .arrays import address, base_of, contiguous, make_array, make_view, numpy, order_of, pickle_buffer, raw, start_of
from .errors import NotData
from .payload import LARGE_BYTES
from .refs import is_ref

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, type(Ellipsis)})
_ZONES = frozenset({type(None), datetime.timezone, zoneinfo.ZoneInfo})
_PATHS = {each.__name__: each for each in (
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
)}  # fmt: skip
_LEAVES = frozenset({
    range, datetime.date, datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID, *_PATHS.values(),
})  # fmt: skip
_NUMERIC = "biufcSUmM"
_CODE = re.compile(r"[<>|=]?(?:[biufcSUV]\d{1,9}|\?|[mM]8(?:\[(?:\d{1,9})?[a-zA-Zμ]{1,7}\])?)")
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,3}")
_BASES = (bytes, bytearray)
_MOST_DIMENSIONS = 64
_MOST_SLICES = 20
_MOST_OF_A_KEY = 100_000


class Looks:
    """How much may still be looked at: a few bytes may refer to the same things over and over."""

    _OF_A_FRAME = 1000

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, content: Any) -> None:
        """Raises NotData when nothing is left."""
        self._left -= len(content) + 1 if type(content) in _CONTAINERS else self._OF_A_FRAME
        if self._left < 0:
            raise NotData("the same things over and over")


_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})


def stranger(
    value: Any, kept: Collection[int] = (), instead: Mapping[int, Any] | None = None, looks: Looks | None = None
) -> list[Any]:
    """[the first thing in a value that is no data], or nothing.

    `kept`: ids of what is not looked into, since it goes as a ref. `instead`: by id, the content that an object is about to get.
    """
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        obj = waiting.pop()
        kind = type(obj)
        if kind in ATOMS or kind in _LEAVES or id(obj) in seen or id(obj) in kept or is_ref(obj):
            continue
        seen.add(id(obj))
        content = obj if instead is None else instead.get(id(obj), obj)
        if looks is not None and (kind in _CONTAINERS or plainframes.is_any(kind)):
            looks.take(content)
        if kind in (list, tuple, set, frozenset):
            parts: Iterable[Any] = content
        elif kind is dict:
            parts = (*content.keys(), *content.values())
        else:
            found = _parts_of_other(obj)
            if found is None:
                return [obj]
            parts = found
        waiting += [part for part in parts if type(part) not in ATOMS]
    return []


def _parts_of_other(obj: Any) -> Iterable[Any] | None:
    """None when it is no data."""
    kind = type(obj)
    if kind is slice:
        return obj.start, obj.stop, obj.step
    if kind is datetime.datetime or kind is datetime.time:
        return () if is_zone(obj.tzinfo) else None
    if kind is zoneinfo.ZoneInfo:
        return () if is_zone(obj) else None
    np = numpy()
    if np is not None and hasattr(np, "ndarray"):
        if kind is np.ndarray:
            return _parts_of_array(obj)
        if issubclass(kind, np.generic):
            return () if kind is obj.dtype.type and obj.dtype.kind in _NUMERIC and dtype_form(obj.dtype) else None
    return plainframes.parts_of(obj)


def is_zone(zone: Any) -> bool:
    """None, or a time zone that is data."""
    return type(zone) in _ZONES and (type(zone) is not zoneinfo.ZoneInfo or zone.key is not None)


def _parts_of_array(array: Any) -> Iterable[Any] | None:
    if dtype_form(array.dtype) is None:
        return None
    base, under = base_of(array), array.base
    if type(under).__name__ == "DummyArray" or type(under).__module__ == "torch":
        return None
    if base is None:
        return ()
    return (base,) if type(base) is numpy().ndarray or type(base) in _BASES else None


def dtype_form(dtype: Any) -> Any:
    """A dtype as a text, or as (names, forms, offsets, size) or (form, shape); None for one with objects or more to it."""
    if dtype.hasobject or dtype.metadata is not None:
        return None
    if dtype.subdtype is not None:
        inner = dtype_form(dtype.subdtype[0])
        return None if inner is None else (inner, tuple(dtype.subdtype[1]))
    if dtype.fields is None:
        return dtype.str if _CODE.fullmatch(dtype.str) else None
    if any(len(field) > 2 for field in dtype.fields.values()):  # titles
        return None
    forms = [dtype_form(dtype.fields[name][0]) for name in dtype.names]
    if None in forms or dtype.isalignedstruct:
        return None
    return tuple(dtype.names), tuple(forms), tuple(dtype.fields[name][1] for name in dtype.names), dtype.itemsize


def made(maker: str, *arguments: Any) -> Any:
    """The only callable in a payload of data."""
    try:
        make = MAKERS[maker]
    except (KeyError, TypeError):
        raise NotData(f"there is no kind {maker!r} of data") from None
    try:
        return make(*arguments)
    except NotData:
        raise
    except Exception as error:
        raise NotData(f"a {maker} that is none: {type(error).__name__}: {error}") from error


def hashable(key: Any) -> Any:
    """The same, which may be hashed and compared: that runs no code of the notebook's, and ends."""
    if type(key) in ATOMS:
        return key
    left, level = _MOST_OF_A_KEY, [key]
    for _ in range(100):
        level = [each for part in level for each in _hashed_inside(part)]
        left -= len(level) + 1
        if left < 0:
            break
        if not level:
            return key
    raise NotData("a key that is too large")


def _hashed_inside(part: Any) -> Iterable[Any]:
    kind = type(part)
    if kind is tuple or kind is frozenset:
        return part  # type: ignore[no-any-return]
    if kind is slice:
        return part.start, part.stop, part.step
    if stranger(part):
        raise NotData(f"a {kind.__name__} for a key")
    return ()


def reduce(obj: Any, note: Callable[[Any, Any], None]) -> Any:
    """For what is of the set and pickle has no opcode for; `note(array, buffer)` hears of memory that leaves the pickle."""
    return made, _form(obj, note)


def _form(obj: Any, note: Callable[[Any, Any], None]) -> tuple[Any, ...]:
    kind = type(obj)
    if kind is complex:
        return "complex", obj.real, obj.imag
    if obj is Ellipsis:
        return ("ellipsis",)
    if kind is slice or kind is range:
        return kind.__name__, obj.start, obj.stop, obj.step
    if kind in _FORMS:
        return _FORMS[kind](obj)
    if kind is plainframes.Again:
        return obj.form  # type: ignore[no-any-return]
    if kind in _PATHS.values():
        return "path", kind.__name__, str(obj)
    np = numpy()
    if np is not None and kind is np.ndarray:
        return _form_of_array(obj, note)
    if np is not None and issubclass(kind, np.generic) and dtype_form(obj.dtype):
        return "scalar", dtype_form(obj.dtype), obj.tobytes()
    form = plainframes.form_of(obj)
    if form is None:
        raise NotData(f"a {kind.__module__}.{kind.__qualname__} is no data")
    return form


_FORMS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    datetime.date: lambda day: ("date", day.year, day.month, day.day),
    datetime.time: lambda at: ("time", at.hour, at.minute, at.second, at.microsecond, at.tzinfo, at.fold),
    datetime.datetime: lambda at: (
        "datetime", at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, at.tzinfo, at.fold,
    ),
    datetime.timedelta: lambda span: ("timedelta", span.days, span.seconds, span.microseconds),
    datetime.timezone: lambda zone: ("timezone", *zone.__getinitargs__()),
    zoneinfo.ZoneInfo: lambda zone: ("zone", zone.key),
    decimal.Decimal: lambda number: ("decimal", str(number)),
    fractions.Fraction: lambda number: ("fraction", number.numerator, number.denominator),
    uuid.UUID: lambda each: ("uuid", each.int),
}  # fmt: skip


def _form_of_array(array: Any, note: Callable[[Any, Any], None]) -> tuple[Any, ...]:
    dtype, base = dtype_form(array.dtype), base_of(array)
    if dtype is None:
        raise NotData("an array of objects is no data")
    if base is not None:
        offset = address(array) - start_of(base)
        return "view", base, offset, array.shape, array.strides, dtype, array.flags.writeable
    memory: Any
    if array.nbytes >= LARGE_BYTES:
        memory = pickle_buffer(contiguous(array))
        note(array, memory)
    else:
        memory = bytes(raw(contiguous(array)))
    return "array", dtype, array.shape, order_of(array) or "C", memory, array.flags.writeable


# -- makers: they trust nothing that they are given ----------------------------------------------------------------------------


class Memory:
    """A buffer that came beside the pickle: an argument of one maker, and nothing else."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view: memoryview | None = view

    @property
    def is_left(self) -> bool:
        """Whether nobody has taken it."""
        return self._view is not None

    def take(self) -> memoryview:
        view, self._view = self._view, None
        if view is None:
            raise NotData("one piece of memory for two arrays")
        return view


def memory_of(given: Any) -> Any:
    if type(given) is bytes:
        return given
    if type(given) is Memory:
        return given.take()
    raise NotData(f"{_named(given)} for memory")


def _named(obj: Any) -> str:
    return f"a {type(obj).__name__}"


def exactly(given: Any, *kinds: type) -> Any:
    """The same; raises NotData unless it is of one of these very types."""
    if type(given) not in kinds:
        raise NotData(f"{_named(given)} where {' or '.join(kind.__name__ for kind in kinds)} belongs")
    return given


def whole_numbers(given: Any, most: int = _MOST_DIMENSIONS) -> tuple[int, ...]:
    if len(exactly(given, tuple)) > most:
        raise NotData("too many dimensions")
    return tuple(exactly(each, int) for each in given)


def dtype_of(form: Any) -> Any:
    """What `dtype_form` has told."""
    np = importlib.import_module("numpy")
    if type(form) is str:
        if not _CODE.fullmatch(form):
            raise NotData("a dtype that is none of data")
        dtype = np.dtype(form)
    elif len(exactly(form, tuple)) == 2:
        dtype = np.dtype((dtype_of(form[0]), whole_numbers(form[1])))
    else:
        names, forms, offsets, size = form
        described = {
            "names": [exactly(name, str) for name in exactly(names, tuple)],
            "formats": [dtype_of(each) for each in exactly(forms, tuple)],
            "offsets": list(whole_numbers(offsets, len(names))),
            "itemsize": exactly(size, int),
        }
        dtype = np.dtype(described)
    if dtype.hasobject or dtype.kind == "O":
        raise NotData("an array of objects is no data")
    return dtype


def sized(dtype: Any, shape: Any) -> int:
    """Bytes of such an array."""
    shape = whole_numbers(shape)
    if any(length < 0 for length in shape):
        raise NotData("a negative length")
    size: int = math.prod(shape) * dtype.itemsize
    return size


def _array(form: Any, shape: Any, order: Any, memory: Any, writeable: Any) -> Any:
    dtype, memory = dtype_of(form), memory_of(memory)
    if exactly(order, str) not in ("C", "F") or sized(dtype, shape) != memoryview(memory).nbytes:
        raise NotData("an array of another size than its memory's")
    return make_array(dtype, shape, order, memory, exactly(writeable, bool))


def _view(base: Any, offset: Any, shape: Any, strides: Any, form: Any, writeable: Any) -> Any:
    np = importlib.import_module("numpy")
    dtype, shape, strides = dtype_of(form), whole_numbers(shape), whole_numbers(strides)
    exactly(base, np.ndarray, *_BASES)
    size = base.nbytes if type(base) is np.ndarray else len(base)
    if type(base) is np.ndarray and (base.dtype.hasobject or (not order_of(base) and exactly(offset, int) != 0)):
        raise NotData("a view of what cannot be looked at")
    if len(shape) != len(strides) or any(length < 0 for length in shape):
        raise NotData("a view without a shape")
    if type(base) is np.ndarray and not order_of(base):
        if (shape, strides, dtype) != (base.shape, base.strides, base.dtype):
            raise NotData("a view beyond its memory")
    elif math.prod(shape):
        reach = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
        first = exactly(offset, int) + sum(min(each, 0) for each in reach)
        last = offset + sum(max(each, 0) for each in reach) + dtype.itemsize
        if first < 0 or last > size:
            raise NotData("a view beyond its memory")
    elif not 0 <= exactly(offset, int) <= size:
        raise NotData("a view beyond its memory")
    return make_view(base, offset, shape, strides, dtype, exactly(writeable, bool))


def _scalar(form: Any, memory: Any) -> Any:
    np = importlib.import_module("numpy")
    dtype = dtype_of(form)
    if type(form) is not str or dtype.kind not in _NUMERIC or (len(exactly(memory, bytes)) != dtype.itemsize and dtype.itemsize):
        raise NotData("a scalar that is no number and no text")
    return np.ndarray((), dtype, memory)[()] if dtype.itemsize else np.zeros((), dtype)[()]


def _ints(make: Any, *numbers: Any) -> Any:
    return make(*(exactly(each, int) for each in numbers))


def _zoned(make: Any, *arguments: Any) -> Any:
    *numbers, zone, fold = arguments
    exactly(zone, *_ZONES)
    return make(*(exactly(each, int) for each in numbers), tzinfo=zone, fold=exactly(fold, int))


def _timezone(offset: Any, *name: Any) -> Any:
    return datetime.timezone(exactly(offset, datetime.timedelta), *(exactly(each, str) for each in name))


def _zone(key: Any) -> Any:
    if not _ZONE_KEY.fullmatch(exactly(key, str)):  # parts of it may become names of modules of tzdata
        raise NotData("no time zone")
    return zoneinfo.ZoneInfo(key)


def _slice(*parts: Any) -> Any:
    """Not of slices of slices without end: Python frees those by recursion, and crashes."""
    level = [part for part in parts if type(part) is slice]
    for _ in range(_MOST_SLICES):
        inner = {id(part): part for each in level for part in (each.start, each.stop, each.step) if type(part) is slice}
        level = list(inner.values())
    if level:
        raise NotData("slices of slices without end")
    return slice(*parts)


def _path(kind: Any, text: Any) -> Any:
    return _PATHS[exactly(kind, str)](exactly(text, str))


MAKERS: dict[str, Callable[..., Any]] = {
    "complex": lambda real, imag: complex(exactly(real, float), exactly(imag, float)),
    "ellipsis": lambda: Ellipsis,
    "slice": _slice,
    "range": lambda *numbers: _ints(range, *numbers),
    "date": lambda *numbers: _ints(datetime.date, *numbers),
    "time": lambda *arguments: _zoned(datetime.time, *arguments),
    "datetime": lambda *arguments: _zoned(datetime.datetime, *arguments),
    "timedelta": lambda *numbers: _ints(datetime.timedelta, *numbers),
    "timezone": _timezone,
    "zone": _zone,
    "decimal": lambda text: decimal.Decimal(exactly(text, str)),
    "fraction": lambda *numbers: _ints(fractions.Fraction, *numbers),
    "uuid": lambda number: uuid.UUID(int=exactly(number, int)),
    "path": _path,
    "array": _array,
    "view": _view,
    "scalar": _scalar,
    **plainframes.MAKERS,
}
"""What may be made, by name."""


# -- what is known on both sides, and has changed there ------------------------------------------------------------------------


def content_of(kind: str, obj: Any) -> Any:
    """The content of a known object, which the notebook puts into its own one; `array` is `plain_state`'s."""
    if kind in ("list", "set"):
        return list(obj)
    if kind == "dict":
        return dict(obj)
    if kind == "bytearray":
        return bytes(obj)
    if kind in ("frame", "index"):
        return plainframes.again(obj)
    raise NotData(f"a known {kind} is no data")


def is_guarded(obj: Any, namespace: Any) -> bool:
    """What is data and says which code is run: no target with `trust = "data"` changes it."""
    guarded = (namespace, sys.path, sys.argv, sys.modules, sys.meta_path, sys.path_hooks, getattr(os.environ, "_data", None))
    return any(obj is each for each in guarded) or (type(obj) is dict and "__spec__" in obj)  # a module's own


__all__ = ["MAKERS", "Memory", "NotData", "content_of", "made", "reduce", "stranger"]
