"""pandas as data: a frame, series or index as its columns, each an array or a list, and the words that say what they are.

A frame that was made of them shares no memory with anything. What has more to it (an extension type of a package's own, flags,
attributes that somebody has set, a frequency that pandas cannot read from a word) is no data. pandas is only looked at when the
program has imported it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from . import frames

_PLAIN_KINDS = "biufcmM"
_MISSING = ("python", "pyarrow")
_LONGEST_RANGE = 10_000_000
"""Of a range that tells the values of a level."""


def _pandas() -> Any:
    found = sys.modules.get("pandas")
    return found if hasattr(found, "Series") else None


def is_any(kind: type) -> bool:
    """Whether it is a type of frames, series or indexes."""
    pandas = _pandas()
    return pandas is not None and issubclass(kind, (pandas.DataFrame, pandas.Series, pandas.Index))


def parts_of(obj: Any) -> Iterable[Any] | None:
    """What is in it that may be anything; None for what is no pandas data."""
    form = form_of(obj)
    return None if form is None else form[1:]


def form_of(obj: Any) -> tuple[Any, ...] | None:
    """(maker, ...) of data; None for anything else."""
    pandas = _pandas()
    if pandas is None:
        return None
    kind = type(obj)
    if kind is pandas.Timestamp:
        zone = obj.tzinfo
        return ("moment", int(obj.asm8.view("i8")), obj.unit, zone) if _is_zone(zone) else None
    if kind is pandas.Timedelta:
        return "span", int(obj.asm8.view("i8")), obj.unit
    if obj is pandas.NaT or obj is pandas.NA:
        return "missing", obj is pandas.NA
    if kind is pandas.DataFrame or kind is pandas.Series:
        if frames.set_by_user(obj) or not obj.flags.allows_duplicate_labels:
            return None
        axes = [_index(axis) for axis in obj.axes]
        columns = [obj.iloc[:, n] for n in range(obj.shape[1])] if kind is pandas.DataFrame else [obj]
        values = [_values(column.array) for column in columns]
        if None in axes or None in values:
            return None
        attrs = dict(obj.attrs)
        if kind is pandas.Series:
            return "series", values[0], axes[0], obj.name, attrs
        return "frame", tuple(values), axes[1], axes[0], attrs
    if issubclass(kind, pandas.Index):
        index = _index(obj)
        return None if index is None else ("index", index)
    return None


def _index(index: Any) -> tuple[Any, ...] | None:
    pandas, kind = _pandas(), type(index)
    if kind is pandas.RangeIndex:
        return "range", index.start, index.stop, index.step, index.name
    if kind is pandas.MultiIndex:
        levels = [_index(level) for level in index.levels]
        codes = tuple(_copy(each).astype("i8") for each in index.codes)
        return None if None in levels else ("multi", tuple(levels), codes, tuple(index.names))
    values = _values(index.array)
    if values is None:
        return None
    if kind in (pandas.DatetimeIndex, pandas.TimedeltaIndex):
        return "times", values, index.name, index.freqstr
    return ("plain", values, index.name) if kind in (pandas.Index, pandas.CategoricalIndex) else None


def _values(array: Any) -> tuple[Any, ...] | None:
    """The values of a column or an index."""
    pandas = _pandas()
    if type(array) is pandas.arrays.NumpyExtensionArray:
        array = array.to_numpy()
    dtype = array.dtype
    if isinstance(dtype, importlib.import_module("numpy").dtype):
        if dtype.kind in _PLAIN_KINDS:
            return "numbers", _copy(array)
        return ("objects", list(array)) if dtype.kind == "O" else None
    if type(dtype) is pandas.StringDtype and dtype.storage in _MISSING:
        is_nan = dtype.na_value is not pandas.NA
        return "texts", dtype.storage, is_nan, [None if each is pandas.NA or each != each else each for each in array]
    if type(dtype) is pandas.DatetimeTZDtype:
        return ("zoned", dtype.tz, dtype.unit, _copy(array.asi8)) if _is_zone(dtype.tz) else None
    if type(dtype) is pandas.CategoricalDtype:
        categories = _index(array.categories)
        return None if categories is None else ("categories", _copy(array.codes).astype("i8"), categories, bool(array.ordered))
    name = str(dtype)
    if name in _masked() and type(array) is getattr(pandas.arrays, _masked()[name]):
        return "masked", name, _copy(array._data), _copy(array._mask)
    return None


def _copy(array: Any) -> Any:
    return importlib.import_module("numpy").array(array)


def _masked() -> dict[str, str]:
    """Nullable dtypes by name, and the arrays that they are made with."""
    numbers = [f"{kind}{size}" for kind in ("Int", "UInt") for size in (8, 16, 32, 64)]
    return {
        **dict.fromkeys(numbers, "IntegerArray"),
        **dict.fromkeys(("Float32", "Float64"), "FloatingArray"),
        "boolean": "BooleanArray",
    }


# -- makers --------------------------------------------------------------------------------------------------------------------


_left: ContextVar[list[int] | None] = ContextVar("farcell_left", default=None)


@contextmanager
def made_of(nbytes: int) -> Iterator[None]:
    """Meanwhile columns and indexes take no more memory of arrays than that which came: pandas copies each, and one array, or a
    view that shows a few bytes over and over, could be told for any number of them."""
    token = _left.set([nbytes])
    try:
        yield
    finally:
        _left.reset(token)


def _numbers(given: Any) -> Any:
    """An array that becomes a column, or part of one."""
    from .plain import exactly

    array, left = exactly(given, importlib.import_module("numpy").ndarray), _left.get()
    if array.dtype.kind not in _PLAIN_KINDS:
        raise ValueError("a column of no kind of data")
    if left is not None:
        left[0] -= array.nbytes
        if left[0] < 0:
            raise ValueError("columns of more memory than came")
    return array


def _name(given: Any) -> Any:
    """Of a column or an index: pandas hashes it."""
    from .plain import hashable

    return hashable(given)


def _made(form: Any) -> Any:
    """The array that a form of `_values` tells of."""
    from .plain import exactly

    np, pandas = importlib.import_module("numpy"), importlib.import_module("pandas")
    kind, *parts = exactly(form, tuple)
    if kind == "numbers":
        return _numbers(parts[0])
    if kind == "objects":
        values = exactly(parts[0], list)
        array = np.empty(len(values), object)
        for n, value in enumerate(values):
            array[n] = value
        return array
    if kind == "texts":
        storage, is_nan, values = parts
        dtype = pandas.StringDtype("python" if storage == "python" or not _has_arrow() else "pyarrow", **_na(is_nan))
        return pandas.array([exactly(each, str, type(None)) for each in exactly(values, list)], dtype=dtype)
    if kind == "zoned":
        zone, unit, numbers = parts
        _check_zone(zone)
        dtype = pandas.DatetimeTZDtype(exactly(unit, str), zone)
        moments = _numbers(numbers).view(f"M8[{dtype.unit}]")
        return pandas.DatetimeIndex(moments).tz_localize("UTC").tz_convert(zone).array
    if kind == "categories":
        codes, categories, ordered = parts
        return pandas.Categorical.from_codes(_numbers(codes), _made_index(categories), ordered=exactly(ordered, bool))
    if kind == "masked":
        name, data, mask = parts
        return getattr(pandas.arrays, _masked()[exactly(name, str)])(_numbers(data), _numbers(mask))
    raise ValueError("values of no kind of data")


def _na(is_nan: bool) -> dict[str, Any]:
    """pandas 2.1 and 2.2 know one way of missing texts alone."""
    pandas = importlib.import_module("pandas")
    return {"na_value": float("nan")} if is_nan and hasattr(pandas.StringDtype(), "na_value") and _takes_na_value() else {}


def _takes_na_value() -> bool:
    pandas = importlib.import_module("pandas")
    return "na_value" in pandas.StringDtype.__init__.__code__.co_varnames


def _has_arrow() -> bool:
    return sys.modules.get("pyarrow") is not None


def _is_zone(zone: Any) -> bool:
    from .plain import is_zone

    return is_zone(zone)


def _check_zone(zone: Any) -> None:
    if not _is_zone(zone):
        raise ValueError("no time zone")


def _made_index(form: Any) -> Any:
    from .plain import exactly

    np, pandas = importlib.import_module("numpy"), importlib.import_module("pandas")
    kind, *parts = exactly(form, tuple)
    if kind == "range":
        *numbers, name = parts
        return pandas.RangeIndex(*(exactly(each, int) for each in numbers), name=_name(name))
    if kind == "multi":
        levels, codes, names = parts
        made = [_made_index(level) for level in exactly(levels, tuple)]
        if any(type(level) is pandas.RangeIndex and len(level) > _LONGEST_RANGE for level in made):  # pandas writes them out
            raise ValueError("a level without end")
        return pandas.MultiIndex(
            made, [_numbers(each) for each in exactly(codes, tuple)], names=tuple(map(_name, exactly(names, tuple)))
        )
    if kind == "times":
        values, name, freq = parts
        array = _made(values)
        make = pandas.TimedeltaIndex if array.dtype.kind == "m" else pandas.DatetimeIndex
        return make(array, name=_name(name), freq=exactly(freq, str, type(None)))
    if kind != "plain":
        raise ValueError("an index of no kind of data")
    values, name = parts
    array = _made(values)
    if array.dtype.kind == "O" and type(array) is np.ndarray:
        for each in array:
            _name(each)
    return pandas.Index(array, name=_name(name), dtype=array.dtype)


def _frame(values: Any, columns: Any, index: Any, attrs: Any) -> Any:
    from .plain import exactly

    pandas = importlib.import_module("pandas")
    rows, names = _made_index(index), _made_index(columns)
    arrays = [_made(each) for each in exactly(values, tuple)]
    if len(arrays) != len(names) or any(len(array) != len(rows) for array in arrays):
        raise ValueError("columns of other lengths")
    made = {n: pandas.Series(array, index=rows, dtype=array.dtype, copy=False) for n, array in enumerate(arrays)}
    frame = pandas.DataFrame(made, index=rows, columns=range(len(arrays)), copy=True)
    frame.columns = names
    frame.attrs.update(exactly(attrs, dict))
    return frame


def _series(values: Any, index: Any, name: Any, attrs: Any) -> Any:
    from .plain import exactly

    pandas = importlib.import_module("pandas")
    array = _made(values)
    series = pandas.Series(array, index=_made_index(index), dtype=array.dtype, copy=True)
    series.name = _name(name)
    series.attrs.update(exactly(attrs, dict))
    return series


def _moment(number: Any, unit: Any, zone: Any) -> Any:
    from .plain import exactly

    pandas, np = importlib.import_module("pandas"), importlib.import_module("numpy")
    _check_zone(zone)
    moment = pandas.Timestamp(np.datetime64(exactly(number, int), exactly(unit, str)))
    return moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)


def _span(number: Any, unit: Any) -> Any:
    from .plain import exactly

    pandas, np = importlib.import_module("pandas"), importlib.import_module("numpy")
    return pandas.Timedelta(np.timedelta64(exactly(number, int), exactly(unit, str)))


def _missing(is_na: Any) -> Any:
    pandas = importlib.import_module("pandas")
    return pandas.NA if is_na is True else pandas.NaT


MAKERS: dict[str, Callable[..., Any]] = {
    "frame": _frame,
    "series": _series,
    "index": _made_index,
    "moment": _moment,
    "span": _span,
    "missing": _missing,
}


# -- in place ------------------------------------------------------------------------------------------------------------------


class Again:
    """Stands for a known object that a payload tells anew: its form, and not its number."""

    def __init__(self, obj: Any) -> None:
        self.form = form_of(obj)


def again(obj: Any) -> Again:
    return Again(obj)


def content(kind: str, obj: Any, new: Any) -> Any:
    """What `merges.py` puts into a known frame or index so that it is as a new one."""
    if kind == "index":
        return frames.index_content(new)
    parts, attrs, _ = frames.frame_state(new)
    return parts, attrs, {name: vars(obj)[name] for name in frames.set_by_user(obj)}
