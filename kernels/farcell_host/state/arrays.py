"""numpy arrays: raw memory out of the pickle, restored writable, views kept views.

An array that owns its memory travels as (dtype, shape, order, memory). A view travels as (base, offset, shape,
strides, dtype), so base and
view share memory at the peer too. numpy is only looked at when the program has imported it.
"""

from __future__ import annotations

import importlib
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


def numpy() -> Any:
    """numpy, when this process has it already."""
    return sys.modules.get("numpy")


def is_array(obj: object) -> bool:
    np = numpy()
    return np is not None and type(obj) is getattr(np, "ndarray", None)


def owner(array: Any) -> Any:
    """The array whose memory `array` uses, when that is a plain array; else `array` itself."""
    base, last = array.base, array
    while type(base) is type(array) or _is_stride_trick(base):
        base, last = base.base, last if _is_stride_trick(base) else base
    if base is not None and type(base).__module__ == "torch":  # `tensor.numpy()`
        from .tensors import bytes_under

        return bytes_under(base, last)
    return last


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
    return array if order_of(array) else array.copy("C")


def layout(array: Any) -> tuple[Any, ...]:
    """What must be the same for a merge into this array's memory."""
    return dtype_code(array.dtype), array.shape, order_of(array)


def dtype_code(dtype: Any) -> Any:
    """A dtype as its short name, where that says all."""
    simple = dtype.fields is None and dtype.subdtype is None and dtype.metadata is None and dtype.isbuiltin == 1
    return dtype.str if simple or (dtype.kind in "SUmM" and dtype.metadata is None) else dtype


def reduce_array(array: Any, note: Any) -> Any:
    """How a plain ndarray goes into a pickle; `note(array, pickle_buffer)` hears of memory that stays outside of it."""
    if array.dtype.hasobject:
        return _reduce_objects(array)
    base = owner(array)
    if base is not array and not base.dtype.hasobject and order_of(base):
        offset = address(array) - address(base)
        dtype = dtype_code(array.dtype)
        make = make_strided if _is_stride_trick(array.base) else make_view
        return make, (base, offset, array.shape, array.strides, dtype, array.flags.writeable)
    order = order_of(array) or "C"
    memory: Any
    if array.nbytes >= LARGE_BYTES:
        memory = pickle_buffer(contiguous(array))
        note(array, memory)
    else:
        memory = bytes(raw(contiguous(array)))
    return make_array, (dtype_code(array.dtype), array.shape, order, memory, array.flags.writeable)


def address(array: Any) -> int:
    where: int = array.__array_interface__["data"][0]
    return where


def make_array(dtype: Any, shape: tuple[int, ...], order: str, memory: Any, writeable: bool) -> Any:
    np = importlib.import_module("numpy")
    view = memoryview(memory)
    if view.nbytes >= LARGE_BYTES and not view.readonly:
        array = np.ndarray(shape, dtype, buffer=view, order=order)
    else:
        array = np.empty(shape, dtype, order)
        if view.nbytes:
            raw(array)[:] = view.cast("B")
    if not writeable:
        array.flags.writeable = False
    return array


def make_view(base: Any, offset: int, shape: Any, strides: Any, dtype: Any, writeable: bool) -> Any:
    np = importlib.import_module("numpy")
    flat = base if base.flags.c_contiguous else base.T
    memory = flat.reshape(-1).view(np.uint8) if base.nbytes else base
    view = np.ndarray(shape, dtype, buffer=memory, offset=offset, strides=strides)
    if view.flags.writeable and not writeable:
        view.flags.writeable = False
    return view


def make_strided(base: Any, offset: int, shape: Any, strides: Any, dtype: Any, writeable: bool) -> Any:
    tricks = importlib.import_module("numpy.lib.stride_tricks")
    view = make_view(base, offset, shape, strides, dtype, True)
    return tricks.as_strided(view, shape, strides, writeable=writeable and view.flags.writeable)


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


def relayout(array: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    """As setting `dtype` and `shape` does: the memory stays."""
    np = numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5
        if array.dtype != np.dtype(dtype):
            array.shape = (array.size,)
            array.dtype = np.dtype(dtype)
        array.shape = shape


def _reduce_objects(array: Any) -> Any:
    if array.dtype.fields is not None:
        return NotImplemented
    state = objects_of(array)
    return make_objects, (array.shape, order_of(array) or "C"), state, None, None, set_objects


def objects_of(array: Any) -> list[Any] | strings.Packed:
    return strings.pack(list(array.flat))


def make_objects(shape: tuple[int, ...], order: str) -> Any:
    return importlib.import_module("numpy").empty(shape, object, order)


def set_objects(array: Any, objects: list[Any] | strings.Packed) -> None:
    values = strings.unpack(objects)
    array[...] = numpy().fromiter(values, object, len(values)).reshape(array.shape)  # which looks into no sequence
