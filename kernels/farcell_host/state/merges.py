"""How the content of each kind goes into the object that is here already, past the notebook's `__setattr__` and `__setitem__`.

A merge is a generator: it yields how it is taken back, and only when asked again changes the object. So a failure anywhere,
in the midst of a merge too, finds its way back; taking back what was not begun does nothing.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any

from . import caches, exceptions, frames, handlers, images, iterators, sets, tensors, weak
from .arrays import contiguous, dtype_code, fill, holds, plain, record_content, relayout, set_objects, set_record
from .arrays import objects_of as objects_of_array
from .classes import class_content, set_class_content
from .dynamic import slots_of
from .filled import fill_dict
from .functions import cell_content, function_state, set_cell, set_function_state
from .handmade import handmade_state, set_handmade_state
from .kinds import content, factory_of, items_of
from .refusals import refusal

Undo = Callable[[], None]
Merge = Iterator[Undo]


def merge(kind: str, obj: Any, new: Any) -> Merge:
    """Give `obj` the content `new`."""
    return _MERGES[kind](obj, new)


def last_step(kind: str, obj: Any, new: Any) -> Callable[[], None] | None:
    """What `merge` leaves to be done when every other step has been taken: it cannot fail, and is not taken back."""
    finish = _LAST.get(kind)
    return partial(finish, obj, new) if finish is not None else None


def _merge_list(obj: Any, new: Any) -> Merge:
    old, attributes = list(list.__iter__(obj)), _attributes(obj)

    def undo() -> None:
        list.__setitem__(obj, slice(None), old)
        _set_attributes(obj, attributes)

    yield undo
    list.__setitem__(obj, slice(None), new[0])
    _set_attributes(obj, new[1] or {})


def _merge_dict(obj: Any, new: Any) -> Merge:
    old, attributes, factory = items_of(obj), _attributes(obj), factory_of(obj)
    has_factory = isinstance(obj, collections.defaultdict)

    def undo() -> None:
        fill_dict(obj, old)
        _set_attributes(obj, attributes)
        if has_factory:
            obj.default_factory = factory

    yield undo
    fill_dict(obj, new[0])
    _set_attributes(obj, new[1] or {})
    if has_factory:
        obj.default_factory = new[2]


def _merge_deque(obj: Any, new: Any) -> Merge:
    old = list(obj)

    def fill_anew(items: list[Any]) -> None:
        obj.clear()
        obj.extend(items)

    yield lambda: fill_anew(old)
    fill_anew(new)


def _merge_set(obj: Any, new: Any) -> Merge:
    old = sets.recipe(obj)
    yield lambda: sets.fill(obj, *old)
    sets.fill(obj, *new)


def _merge_bytearray(obj: bytearray, new: bytes) -> Merge:
    old = bytes(obj)

    def undo() -> None:
        obj[:] = old

    yield undo
    obj[:] = new


def _merge_cell(obj: CellType, new: Any) -> Merge:
    old = cell_content(obj)
    yield lambda: set_cell(obj, old)
    set_cell(obj, new)


def _merge_function(obj: FunctionType, new: Any) -> Merge:
    old = function_state(obj)
    yield lambda: set_function_state(obj, old)
    set_function_state(obj, new[0])


def _merge_lru(obj: Any, new: Any) -> Merge:
    attributes, _, hits, misses = caches.lru_state(obj)
    found = list(caches.entries(obj))

    def undo() -> None:
        caches.set_lru_state(obj, (attributes, [], 0, 0))
        caches.set_lru_state(obj, (attributes, found, hits, misses))

    yield undo
    caches.set_lru_state(obj, new)


def _merge_weak(obj: Any, new: Any) -> Merge:
    old = weak.weak_state(obj)
    yield lambda: weak.set_weak_state(obj, old)
    weak.set_weak_state(obj, new)


def _merge_exception(obj: Any, new: Any) -> Merge:
    old, traceback = exceptions.exception_state(obj), obj.__traceback__

    def undo() -> None:
        exceptions.set_exception_state(obj, old)
        obj.__traceback__ = traceback

    yield undo
    exceptions.set_exception_state(obj, new)


def _merge_handler(handler: Any, new: Any) -> Merge:
    old = handlers.handler_state(handler)
    yield lambda: handlers.set_handler_state(handler, old)
    handlers.set_handler_state(handler, new)


def _merge_class(obj: type, new: Any) -> Merge:
    old = class_content(obj)
    yield lambda: set_class_content(obj, old)
    set_class_content(obj, new[0])


def _merge_module(obj: ModuleType, new: Any) -> Merge:
    old = handmade_state(obj)
    yield lambda: set_handmade_state(obj, old)
    set_handmade_state(obj, new)


def _merge_object(obj: Any, new: Any) -> Merge:
    cls, attributes, slots, replaces = new
    before, old, old_slots = type(obj), _attributes(obj), slots_of(obj)

    def undo() -> None:
        if type(obj) is not before:
            object.__setattr__(obj, "__class__", before)
        _set_attributes(obj, old)
        _set_slots(obj, old_slots, replaces=True)

    yield undo
    _set_slots(obj, slots, replaces)
    _set_attributes(obj, attributes if replaces else {**old, **attributes})
    if cls is not before:
        object.__setattr__(obj, "__class__", cls)


def _merge_stateful(obj: Any, new: Any) -> Merge:
    state, items = new
    old, old_slots = _attributes(obj), slots_of(obj)
    before = list(list.__iter__(obj)) if isinstance(obj, list) else items_of(obj) if isinstance(obj, dict) else None

    def undo() -> None:
        _set_items(obj, before)
        _set_attributes(obj, old)
        _set_slots(obj, old_slots, replaces=True)

    yield undo
    if items is not None:
        _set_items(obj, items)
    if state is not None:
        obj.__setstate__(state)
        stuck = {name: value for name, value in old.items() if refusal(type(value))}  # a lock, which others may hold as well
        _set_attributes(obj, {name: stuck.get(name, value) for name, value in _attributes(obj).items()})


def _set_items(obj: Any, items: Any) -> None:
    if isinstance(obj, list):
        list.__setitem__(obj, slice(None), items)
    elif isinstance(obj, dict):
        fill_dict(obj, items)


def _merge_restorable(obj: Any, state: Any) -> Merge:
    old = content("restorable", obj)
    yield lambda: obj.__setstate__(old)
    obj.__setstate__(state)


def _merge_array(array: Any, new: Any) -> Merge:
    """All but its memory, which is filled when every other step has been taken (`fill_array`): large arrays need no copy of what
    they were."""
    (writeable, pieces, attributes, layout), was = new, array.flags.writeable
    before, old = (dtype_code(array.dtype), plain(array).shape), _attributes(array)

    def undo() -> None:
        if (dtype_code(array.dtype), plain(array).shape) != before:
            relayout(array, *before)
        _set_writeable(array, was)
        _set_attributes(array, old)

    yield undo
    if attributes is not None:
        _set_attributes(array, attributes)
    if pieces and not writeable and not was and holds(array, pieces):
        pieces = ()  # over memory that nobody may write, not even for this
    if pieces or layout is not None:
        _set_writeable(array, True)
    if layout is not None:
        relayout(array, *layout)
    if not pieces:
        _set_writeable(array, writeable)


def _set_writeable(array: Any, writeable: bool) -> None:
    if array.flags.writeable != writeable:  # numpy refuses some views even what they are
        array.flags.writeable = writeable


def fill_array(array: Any, new: Any) -> None:
    """What `merge` leaves out of an array. Cannot fail: sizes are validated, and `merge` has made it writeable."""
    writeable, pieces, *_ = new
    if pieces and array.flags.writeable:
        whole = contiguous(array)
        fill(whole, pieces)
        if whole is not array:
            plain(array)[...] = whole
        _set_writeable(array, writeable)


def _merge_record(record: Any, new: bytes | None) -> Merge:
    old = record_content(record)
    yield lambda: set_record(record, old)
    set_record(record, new)


def _merge_image(image: Any, new: Any) -> Merge:
    old, attributes = images.image_state(image), _attributes(image)

    def undo() -> None:
        _set_attributes(image, attributes)
        images.set_image_state(image, old)

    yield undo
    images.set_image_state(image, new)


def _merge_numbers(numbers: Any, new: bytes) -> Merge:
    old = numbers.tobytes()
    yield lambda: _set_numbers(numbers, old)
    _set_numbers(numbers, new)


def _set_numbers(numbers: Any, content: bytes) -> None:
    if (
        len(content) != len(numbers) * numbers.itemsize or content != numbers.tobytes()
    ):  # else nothing that looks at it is in the way
        numbers[:] = type(numbers)(numbers.typecode, content)


def _merge_stream(stream: Any, new: Any) -> Merge:
    """All but closing it, which nothing takes back."""
    old = None if stream.closed else stream.__getstate__()
    yield lambda: None if old is None else stream.__setstate__(old)
    if new is not None and new != old:
        stream.__setstate__(new)


def _close(stream: Any, new: Any) -> None:
    if new is None:
        stream.close()


def _merge_position(iterator: Any, new: Any) -> Merge:
    """Nothing yet: Python cuts a position to the length of what is iterated, which may be merged later."""
    yield lambda: None


def _merge_objects(array: Any, new: Any) -> Merge:
    """Nothing for a view: its objects are told with the array that it looks at."""
    if new[1] is None:
        yield lambda: None
        return
    old = objects_of_array(array)
    yield lambda: set_objects(array, old)
    set_objects(array, new[1])


def _merge_frame(frame: Any, new: Any) -> Merge:
    old = _attributes(frame)
    yield lambda: _set_attributes(frame, old)
    frames.set_frame_state(frame, new)


def _merge_index(index: Any, new: Any) -> Merge:
    old = _attributes(index)
    yield lambda: _set_attributes(index, old)
    frames.merge_index(index, new)


def _merge_tensor(tensor: Any, new: Any) -> Merge:
    old = tensors.tensor_state(tensor)
    yield lambda: tensors.set_tensor_state(tensor, old)
    tensors.set_tensor_state(tensor, new)


def _merge_generator(generator: Any, new: bytes) -> Merge:
    old = tensors.generator_state(generator)
    yield lambda: tensors.set_generator_state(generator, old)
    tensors.set_generator_state(generator, new)


def _merge_refs(refs: Any, shared: bool) -> Merge:
    before = frames.is_shared(refs)
    yield lambda: frames.mark_shared(refs, before)
    frames.mark_shared(refs, shared)


# What objects have beside what their kind says


def _attributes(obj: Any) -> dict[str, Any]:
    return dict(object.__getattribute__(obj, "__dict__")) if type(obj).__dictoffset__ else {}


def _set_attributes(obj: Any, attributes: dict[str, Any]) -> None:
    if type(obj).__dictoffset__:
        own: dict[str, Any] = object.__getattribute__(obj, "__dict__")
        own.clear()
        own.update(attributes)


def _set_slots(obj: Any, slots: dict[str, Any], replaces: bool) -> None:
    if replaces:
        for name in slots_of(obj).keys() - slots.keys():
            object.__delattr__(obj, name)
    for name, value in slots.items():
        object.__setattr__(obj, name, value)


_MERGES: dict[str, Callable[[Any, Any], Merge]] = {
    "list": _merge_list,
    "dict": _merge_dict,
    "set": _merge_set,
    "deque": _merge_deque,
    "bytearray": _merge_bytearray,
    "cell": _merge_cell,
    "function": _merge_function,
    "lru": _merge_lru,
    "weak": _merge_weak,
    "exception": _merge_exception,
    "handler": _merge_handler,
    "class": _merge_class,
    "module": _merge_module,
    "object": _merge_object,
    "stateful": _merge_stateful,
    "array": _merge_array,
    "restorable": _merge_restorable,
    "objects": _merge_objects,
    "image": _merge_image,
    "numbers": _merge_numbers,
    "record": _merge_record,
    "stream": _merge_stream,
    "position": _merge_position,
    "frame": _merge_frame,
    "index": _merge_index,
    "refs": _merge_refs,
    "tensor": _merge_tensor,
    "generator": _merge_generator,
}
_LAST: dict[str, Callable[[Any, Any], None]] = {"array": fill_array, "stream": _close, "position": iterators.set_position}
