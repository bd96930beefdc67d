"""numpy arrays: raw memory out of the pickle, restored writable, views kept views.

An array that owns its memory travels as (dtype, shape, order, memory), and owns it at the peer. One that looks at the memory of
something else travels as (that, offset, shape, strides, dtype), so that both share memory at the peer too: what it looks at is
an array, bytes, a bytearray or an `array.array`. Subclasses do the same and take their attributes along; only those of a package
with a pickle of its own, and memory maps, go their own way. numpy is only looked at when the program has imported it.
"""

from __future__ import annotations

import array as arrays_of_python
import functools
import importlib
import itertools
import math
import operator
import pickle
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from . import strings
from .halves import in_halves
from .payload import LARGE_BYTES

_PARALLEL_BYTES = 8 << 20
_COPY_BYTES = 1 << 20
_BUFFERS = (bytes, bytearray, arrays_of_python.array)


def numpy() -> Any:
    """numpy, when this process has it already."""
    return sys.modules.get("numpy")


def is_array(obj: Any) -> bool:
    kind: Any = type(obj)
    base = getattr(numpy(), "ndarray", None)
    return base is not None and (kind is base or (is_subclass(kind) and not obj.dtype.hasobject))


@functools.lru_cache(4096)
def is_subclass(kind: Any) -> bool:
    """Whether its instances are an array and their attributes."""
    np = numpy()
    if not hasattr(np, "memmap") or not issubclass(kind, np.ndarray) or kind is np.ndarray or issubclass(kind, np.memmap):
        return False
    if kind.__module__ == "__main__":
        return True
    own = kind.__reduce__, kind.__reduce_ex__, kind.__setstate__
    masked = sys.modules.get("numpy.ma")
    known = [np.ndarray, *([masked.MaskedArray] if masked is not None and hasattr(masked, "MaskedArray") else [])]
    return any(own == (base.__reduce__, base.__reduce_ex__, base.__setstate__) for base in known)


def plain(array: Any) -> Any:
    """The same memory without the ways of a subclass."""
    np = numpy()
    return array if type(array) is np.ndarray else np.ndarray.view(array, np.ndarray)


def base_of(array: Any) -> Any:
    """What an array looks at, and travels with; None when its memory goes along with itself."""
    last, base = array, numpy().ndarray.base.__get__(array)
    while _is_stride_trick(base):
        last, base = base, base.base
    if base is None:
        return None
    kind = type(base)
    if kind in _BUFFERS:
        return base
    if kind is memoryview:
        return base if type(base.obj) in _BUFFERS and base.c_contiguous and array.flags.c_contiguous else None
    if kind.__module__ == "torch":  # `tensor.numpy()`
        from .tensors import bytes_under

        under = bytes_under(base, array)
        return None if under is array else under
    if not is_array(base) or (base.dtype.hasobject and not base.dtype == array.dtype == object):
        return None
    if order_of(base) or (last is array and _looks_like(array, base)):
        return base
    return base_of(base)  # only the whole of it can be cut out anew


def _looks_like(array: Any, base: Any) -> bool:
    of_array, of_base = plain(array), plain(base)
    same_place = address(of_array) == address(of_base) and of_array.strides == of_base.strides
    return same_place and of_array.shape == of_base.shape and of_array.dtype == of_base.dtype


def _is_stride_trick(base: Any) -> bool:
    """What stands between an array made by `as_strided` and the array it looks at."""
    return type(base).__name__ == "DummyArray" and hasattr(base, "__array_interface__")


def order_of(array: Any) -> str:
    """ "C", "F", or "" when the memory has gaps."""
    flags = array.flags
    return "C" if flags.c_contiguous else "F" if flags.f_contiguous else ""


def raw(array: Any) -> memoryview:
    """The memory of a contiguous array as bytes, without a copy."""
    return memoryview(_flat(array))


def _flat(array: Any) -> Any:
    """The memory of a contiguous array as an array of bytes, without a copy."""
    np = numpy()
    array = plain(array)
    if array.nbytes == 0:
        return np.empty(0, np.uint8)
    flat = array if array.flags.c_contiguous else array.T
    return flat.reshape(-1).view(np.uint8)


def pickle_buffer(array: Any, start: int = 0, stop: int | None = None) -> pickle.PickleBuffer:
    """These bytes of a contiguous array's memory, to leave the pickle.

    Not over a memoryview: one with exports (a PickleBuffer is one) in a cycle, such as a traceback's, crashes the collector in
    CPython up to 3.13 at least.
    """
    return pickle.PickleBuffer(_flat(array)[start:stop])


def contiguous(array: Any) -> Any:
    """The array, or a copy of one with gaps."""
    return array if order_of(array) else plain(array).copy("C")


def layout(array: Any) -> tuple[Any, ...]:
    """What must be the same for a merge into this array's memory."""
    return dtype_code(array.dtype), plain(array).shape, order_of(array)


def layout_in(base: Any, array: Any) -> tuple[Any, ...]:
    """The same for one that looks at something else, which stays what it is."""
    array = plain(array)
    return id(base), address(array) - start_of(base), array.shape, array.strides, dtype_code(array.dtype)


def dtype_code(dtype: Any) -> Any:
    """A dtype as its short name, where that says all."""
    simple = dtype.fields is None and dtype.subdtype is None and dtype.metadata is None and dtype.isbuiltin == 1
    return dtype.str if simple or (dtype.kind in "SUmM" and dtype.metadata is None) else dtype


def reduce_array(array: Any, note: Any) -> Any:
    """How an array goes into a pickle; `note(array, pickle_buffer)` hears of memory that stays outside of it."""
    if array.dtype.hasobject:
        return _reduce_objects(array)
    attributes = attributes_of(array)
    state = () if attributes is None else (attributes, None, None, set_attributes)
    base = base_of(array)
    if base is not None:
        return (*_reduce_view(array, base), *state)
    if "torch" in sys.modules:
        register(array)
    order = order_of(array) or "C"
    memory: Any
    if array.nbytes >= LARGE_BYTES:
        memory = pickle_buffer(contiguous(array))
        note(array, memory)
    else:
        memory = bytes(raw(contiguous(array)))
    kind = () if type(array) is numpy().ndarray else (type(array),)
    return make_array, (dtype_code(array.dtype), plain(array).shape, order, memory, array.flags.writeable, *kind), *state


def _reduce_view(array: Any, base: Any) -> tuple[Any, ...]:
    offset, dtype = address(array) - start_of(base), dtype_code(array.dtype)
    shape, strides, writeable = plain(array).shape, array.strides, array.flags.writeable
    under = numpy().ndarray.base.__get__(array)
    if type(under).__module__ == "torch":
        from .tensors import reduce_lent

        lent = reduce_lent(array, under)
        if lent is not None:
            return lent  # type: ignore[no-any-return]
    if _is_stride_trick(under):
        return make_strided, (base, offset, shape, strides, dtype, writeable)
    if type(base) is memoryview:
        return make_over_memoryview, (base.obj, offset, shape, dtype, writeable)
    kind = () if type(array) is numpy().ndarray else (type(array),)
    return make_view, (base, offset, shape, strides, dtype, writeable, *kind)


# -- who owns a piece of memory --------------------------------------------------------------------------------------------

_owners: dict[int, Any] = {}
"""Address -> an array that owns what begins there, while names are looked at. Not weakly: numpy resizes no array that has a weak
reference."""


def register(array: Any, is_met: bool = True) -> None:
    """One that is met in what is looked at goes before others."""
    if array.nbytes and order_of(array) and (is_met or address(array) not in _owners):
        _owners[address(array)] = array


def forget_owners() -> None:
    _owners.clear()


def owned_at(start: int, size: int) -> Any:
    """A look at so many bytes of a registered array; None when there is none that they belong to."""
    first = _owners.get(start)
    for array in [first] if first is not None else list(_owners.values()):
        offset = start - address(array)
        if offset >= 0 and offset + size <= array.nbytes:
            return make_view(array, offset, (size,), (1,), "u1", True)
    return None


def attributes_of(array: Any) -> dict[str, Any] | None:
    """Of an instance of a subclass."""
    return object.__getattribute__(array, "__dict__") if type(array).__dictoffset__ else None


def set_attributes(array: Any, attributes: dict[str, Any]) -> None:
    own = object.__getattribute__(array, "__dict__")
    if own is not attributes:
        own.clear()  # of what its __array_finalize__ has set
        own.update(attributes)


def address(array: Any) -> int:
    where: int = array.__array_interface__["data"][0]
    return where


def start_of(base: Any) -> int:
    """The address of what an array may look at."""
    if isinstance(base, memoryview):
        base = base.obj
    return address(numpy().frombuffer(base, "u1") if type(base) in _BUFFERS else base)


def make_array(dtype: Any, shape: tuple[int, ...], order: str, memory: Any, writeable: bool, kind: Any = None) -> Any:
    np = importlib.import_module("numpy")
    view = memoryview(memory)
    array = _own(view, order) if kind is None and view.nbytes >= LARGE_BYTES else None
    if array is not None:
        relayout(array, dtype, shape, order)
    else:
        array = np.ndarray.__new__(kind or np.ndarray, shape, dtype, order=order)
        if view.nbytes:
            fill(array, [(0, view)])
    if not writeable:
        array.flags.writeable = False
    return array


def _own(memory: memoryview, order: str) -> Any:
    """The array of bytes whose memory this is, when it is all of it: it becomes the array that was sent (`bulk.room`)."""
    np = numpy()
    array: Any = memory.obj
    is_own = type(array) is np.ndarray and array.base is None and array.dtype == np.uint8 and array.ndim == 1
    return array if is_own and array.flags.owndata and array.nbytes == memory.nbytes and not memory.readonly else None


def make_view(base: Any, offset: int, shape: Any, strides: Any, dtype: Any, writeable: bool, kind: Any = None) -> Any:
    np = importlib.import_module("numpy")
    kind = kind or np.ndarray
    if isinstance(base, _BUFFERS):
        view = np.ndarray.__new__(kind, shape, dtype, base, offset, strides)
    elif offset == 0 and not order_of(base):
        view = np.ndarray.view(base, kind)
    else:
        # the array itself, so that it is what the view's `base` will be; what is in Fortran's order gives no buffer
        memory = base if base.flags.c_contiguous else np.ndarray.transpose(base)
        view = np.ndarray.__new__(kind, shape, dtype, memory, offset, strides)
    if view.flags.writeable and not writeable:
        view.flags.writeable = False
    return view


def make_over_memoryview(memory: Any, offset: int, shape: Any, dtype: Any, writeable: bool) -> Any:
    """As `numpy.frombuffer` and `numpy.asarray(memoryview)` do it."""
    np = importlib.import_module("numpy")
    array = np.frombuffer(memory, dtype, math.prod(shape), offset)
    relayout(array, dtype, shape)
    if array.flags.writeable and not writeable:
        array.flags.writeable = False
    return array


def make_strided(base: Any, offset: int, shape: Any, strides: Any, dtype: Any, writeable: bool) -> Any:
    tricks = importlib.import_module("numpy.lib.stride_tricks")
    view = make_view(base, offset, shape, strides, dtype, True)
    return tricks.as_strided(view, shape, strides, writeable=writeable and view.flags.writeable)


# -- records: scalars that look at an array -------------------------------------------------------------------------------


def reducer(kind: type) -> Any:
    """How scalars of this type go into a pickle; None for numpy's own way."""
    np = numpy()
    return _reduce_record if np is not None and issubclass(kind, getattr(np, "void", ())) else None


def is_record(kind: Any) -> bool:
    """Whether its instances can change: scalars of several fields."""
    return reducer(kind) is not None


def _reduce_record(record: Any) -> Any:
    base = record.base
    if base is None or not is_array(base) or base.dtype != record.dtype or not plain(base).size:
        return NotImplemented
    offset = address(record) - address(base)
    where = tuple(offset // stride % size if stride else 0 for size, stride in zip(plain(base).shape, base.strides, strict=True))
    if address(numpy().ndarray.__getitem__(base, where)) != address(record):
        return NotImplemented
    return make_record, (base, where)


def is_merged_record(record: Any) -> bool:
    """Whether it is changed in place: by itself, or with the array that it looks at."""
    return bool(record.dtype.names) and not record.dtype.hasobject


def record_content(record: Any) -> bytes | None:
    """None for what is told with the array that it looks at."""
    return None if record.base is not None else record.tobytes()


def set_record(record: Any, content: bytes | None) -> None:
    if content is not None:
        new = numpy().frombuffer(content, record.dtype)[0]
        for name in record.dtype.names:
            record[name] = new[name]


def make_record(base: Any, index: tuple[int, ...]) -> Any:
    return numpy().ndarray.__getitem__(base, index)


# -- content --------------------------------------------------------------------------------------------------------------


def fill(array: Any, pieces: Iterable[tuple[int, Any]]) -> None:
    """Puts each (offset, bytes) into the memory of a contiguous and writeable array, which has room for it."""
    np = numpy()
    into = _flat(array)

    def copy(part: range) -> None:
        for start in part:
            np.copyto(target[start : start + _COPY_BYTES], source[start : start + _COPY_BYTES])

    for offset, piece in pieces:
        source = np.frombuffer(piece, np.uint8)
        target = into[offset : offset + source.nbytes]
        if source.nbytes < _PARALLEL_BYTES:
            np.copyto(target, source)
        else:
            in_halves(copy, range(0, source.nbytes, _COPY_BYTES))


def holds(array: Any, pieces: Iterable[tuple[int, Any]]) -> bool:
    """Whether these (offset, bytes) are in its memory already."""
    memory = raw(contiguous(array))
    return all(memory[offset : offset + memoryview(piece).nbytes] == memoryview(piece).cast("B") for offset, piece in pieces)


def relayout(array: Any, dtype: Any, shape: tuple[int, ...], order: str = "C") -> None:
    """As setting `dtype` and `shape` does: the memory stays."""
    np = numpy()
    own = np.ndarray  # subclasses have setters of their own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.4, 2.5
        if array.dtype != np.dtype(dtype):
            own.shape.__set__(array, (plain(array).size,))
            own.dtype.__set__(array, np.dtype(dtype))
        if order == "F" and len(shape) > 1:
            own.shape.__set__(array, shape)
            own.strides.__set__(array, tuple(itertools.accumulate(shape[:-1], operator.mul, initial=array.itemsize)))
        else:
            own.shape.__set__(array, shape)


def _reduce_objects(array: Any) -> Any:
    if array.dtype.fields is not None or type(array) is not numpy().ndarray:
        return NotImplemented
    base = base_of(array)
    if base is not None:
        return _reduce_view(array, base)
    state = objects_of(array)
    return make_objects, (array.shape, order_of(array) or "C"), state, None, None, set_objects


def objects_of(array: Any) -> list[Any] | strings.Packed:
    return strings.pack(list(array.flat))


def make_objects(shape: tuple[int, ...], order: str) -> Any:
    return importlib.import_module("numpy").empty(shape, object, order)


def set_objects(array: Any, objects: list[Any] | strings.Packed) -> None:
    values = strings.unpack(objects)
    array[...] = numpy().fromiter(values, object, len(values)).reshape(array.shape)  # which looks into no sequence
