"""How each kind of known object is described to the peer, and merged there into the object it already has.

`content(obj)` is on the sender's side: a plain value to pickle. `merge(obj, content)` is on the receiver's: it
changes the object in place,
bypassing the notebook's own `__setattr__` and `__setitem__`, and returns how to undo that. An object of no kind here is opaque:
when it changed, the peer gets a new one.
"""

from __future__ import annotations

import bisect
import collections
import copyreg
import functools
import itertools
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

from . import caches, exceptions, frames, weak
from .arrays import contiguous, dtype_code, fill, is_array, objects_of, relayout, set_objects
from .classes import class_state
from .functions import cell_content, cells_of, function_state, is_by_value, set_cell, set_function_state

Undo = Callable[[], None]


def kind_of(obj: Any) -> str | None:
    """The name of the merge for this object; None for an opaque one."""
    if is_array(obj):
        return "objects" if obj.dtype == object else None if obj.dtype.hasobject else "array"
    if isinstance(obj, type):
        return "class"
    if type(obj) is caches.WRAPPER:
        return "lru" if is_by_value(obj) else None
    kind: Any = type(obj)
    return _kind_of_type(kind)


@functools.lru_cache(4096)
def _kind_of_type(kind: type) -> str | None:
    exact: dict[type, str] = {
        bytearray: "bytearray", CellType: "cell", FunctionType: "function", collections.deque: "deque",
        collections.Counter: "dict", collections.defaultdict: "dict", collections.OrderedDict: "dict",
        list: "list", dict: "dict", set: "set",
    }  # fmt: skip
    if kind in exact:
        return exact[kind]
    of_pandas = frames.kind_of_type(kind)
    if of_pandas is not None:
        return of_pandas
    if weak.is_weak(kind):
        return "weak"
    if exceptions.is_plain(kind):
        return "exception"
    if not _reduces_by_default(kind) or kind is functools.cached_property:
        return None
    if hasattr(kind, "__setstate__"):
        return "stateful"
    for base in (list, dict):
        if issubclass(kind, base):
            return exact[base]
    return "object"


def is_merged_whole(kind: Any) -> bool:
    """Whether nothing needs to be remembered of objects of this type: their whole content goes when they changed."""
    return kind.__module__ != "numpy" and not issubclass(kind, type) and _kind_of_type(kind) is not None


def _reduces_by_default(kind: type) -> bool:
    if kind in copyreg.dispatch_table or hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__"):
        return False
    if kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:  # type: ignore[comparison-overlap]
        return False
    return kind.__flags__ & _HEAP_TYPE != 0 and not issubclass(kind, (int, str, float, complex, bytes, tuple, frozenset))


_HEAP_TYPE = 1 << 9


def is_restorable(obj: Any) -> bool:
    """Whether an opaque object takes its whole state from `__setstate__`, as long as it would be made of the same arguments."""
    kind = type(obj)
    if not hasattr(kind, "__setstate__") or issubclass(kind, BaseException) or hasattr(kind, "__array_finalize__"):
        return False
    reduced: Any = obj.__reduce_ex__(4)
    return isinstance(reduced, tuple) and len(reduced) > 2 and reduced[2] is not None and not any(reduced[3:])


def made_of(obj: Any) -> Any:
    """What of a restorable object a merge cannot change."""
    return obj.__reduce_ex__(4)[:2]


def content(kind: str, obj: Any) -> Any:
    """What the peer needs to make its own object equal to this one."""
    if kind == "list":
        return list(list.__iter__(obj)), _attributes(obj)
    if kind == "dict":
        return _items(obj), _attributes(obj), getattr(obj, "default_factory", None)
    if kind == "set":
        return in_order_of_adding(obj)
    if kind == "deque":
        return list(obj)
    if kind == "bytearray":
        return bytes(obj)
    if kind == "cell":
        return cell_content(obj)
    if kind == "function":
        return function_state(obj), cells_of(obj)  # the cells are the peer's already; named, their own states follow
    if kind == "exception":
        return exceptions.exception_state(obj)
    if kind == "weak":
        return weak.weak_state(obj)
    if kind == "lru":
        return caches.lru_state(obj)
    if kind == "class":
        return {name: value for name, value in class_state(obj).items() if not name.startswith("<")}
    if kind == "frame":
        return frames.frame_state(obj)
    if kind == "index":
        return frames.index_content(obj)
    if kind == "refs":
        return frames.is_shared(obj)
    if kind == "objects":
        return obj.shape, objects_of(obj)
    state = obj.__reduce_ex__(4)[2]
    if kind == "restorable":
        return state
    if kind == "stateful":
        return dict(state) if state is getattr(obj, "__dict__", None) else state  # type: ignore[arg-type]
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return type(obj), dict(attributes or {}), slots or {}, not _has_getstate(type(obj))


_HASH_BY_VALUE = frozenset({int, float, bool, complex, str, bytes})


def in_order_of_adding(members: set[Any]) -> list[Any]:
    """In which order they must be added to an empty set, so that a walk through it meets them as a walk through this one does.

    Members that stand where their hash says come first, then those that had to make way. Where no order is found
    (after many removals or `update` with another set, say), any is as good; so is it
    for members whose hash is an address, or the notebook's own code.
    """
    wanted = list(members)
    if not _HASH_BY_VALUE.issuperset(map(type, wanted)) or _walk(wanted) == list(map(id, wanted)):
        return wanted
    slots, most = 8, 120 if len(wanted) < 64 else 1
    while slots * 3 < len(wanted) * 5:
        slots *= 2
    while slots <= 16 * max(8, len(wanted)):
        homes = [hash(each) & (slots - 1) for each in wanted]
        at_home = set(_longest_rise(homes))
        first = [each for index, each in enumerate(wanted) if index in at_home]
        others = [each for index, each in enumerate(wanted) if index not in at_home]
        for order in itertools.islice(itertools.permutations(others), most):
            if _walk([*first, *order]) == list(map(id, wanted)):
                return [*first, *order]
        slots *= 2
    return wanted


def _walk(members: list[Any]) -> list[int]:
    made: set[Any] = set()
    made.update(members)
    return list(map(id, made))


def _longest_rise(values: list[int]) -> list[int]:
    """The indexes of a longest strictly rising part of `values`."""
    ends: list[int] = []
    lasts: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        where = bisect.bisect_left(lasts, value)
        before.append(ends[where - 1] if where else -1)
        ends[where : where + 1], lasts[where : where + 1] = [index], [value]
    rise, index = [], ends[-1] if ends else -1
    while index >= 0:
        rise.append(index)
        index = before[index]
    return rise[::-1]


def _has_getstate(kind: type) -> bool:
    return getattr(kind, "__getstate__", None) is not getattr(object, "__getstate__", None)


def _attributes(obj: Any) -> dict[str, Any] | None:
    return dict(vars(obj)) if type(obj).__dictoffset__ and vars(obj) else None


def merge(kind: str, obj: Any, new: Any) -> Undo:
    """Give `obj` the content `new`; the answer takes it back."""
    return _MERGES[kind](obj, new)


def _merge_list(obj: Any, new: Any) -> Undo:
    old, undo_attributes = list(list.__iter__(obj)), _set_attributes(obj, new[1])
    list.__setitem__(obj, slice(None), new[0])

    def undo() -> None:
        list.__setitem__(obj, slice(None), old)
        undo_attributes()

    return undo


def _items(obj: Any) -> dict[Any, Any]:
    ordered = isinstance(obj, collections.OrderedDict)  # its order is in its links, not in the dict below
    return dict(collections.OrderedDict.items(obj) if ordered else dict.items(obj))


def _fill_dict(obj: Any, items: dict[Any, Any]) -> None:
    if isinstance(obj, collections.OrderedDict):  # dict.update would pass its links by
        collections.OrderedDict.clear(obj)
        for key, value in items.items():
            collections.OrderedDict.__setitem__(obj, key, value)
    else:
        dict.clear(obj)
        dict.update(obj, items)


def _merge_dict(obj: Any, new: Any) -> Undo:
    items, attributes, factory = new
    old, old_factory = _items(obj), getattr(obj, "default_factory", None)
    undo_attributes = _set_attributes(obj, attributes)
    _fill_dict(obj, items)
    if isinstance(obj, collections.defaultdict):
        obj.default_factory = factory

    def undo() -> None:
        _fill_dict(obj, old)
        undo_attributes()
        if isinstance(obj, collections.defaultdict):
            obj.default_factory = old_factory

    return undo


def _set_attributes(obj: Any, attributes: dict[str, Any] | None) -> Undo:
    if not type(obj).__dictoffset__:
        return lambda: None
    own: dict[str, Any] = object.__getattribute__(obj, "__dict__")
    old = dict(own)

    def put(values: dict[str, Any]) -> None:
        own.clear()
        own.update(values)

    put(attributes or {})
    return lambda: put(old)


def _merge_refill(obj: Any, new: Any) -> Undo:
    old, grow = list(obj), obj.update if isinstance(obj, set) else obj.extend

    def fill(items: list[Any]) -> None:
        obj.clear()
        grow(items)

    fill(new)
    return lambda: fill(old)


def _merge_bytearray(obj: bytearray, new: bytes) -> Undo:
    old = bytes(obj)
    obj[:] = new

    def undo() -> None:
        obj[:] = old

    return undo


def _merge_cell(obj: CellType, new: Any) -> Undo:
    old = cell_content(obj)
    set_cell(obj, new)
    return lambda: set_cell(obj, old)


def _merge_function(obj: FunctionType, new: Any) -> Undo:
    old = function_state(obj)
    set_function_state(obj, new[0])
    return lambda: set_function_state(obj, old)


def _merge_lru(obj: Any, new: Any) -> Undo:
    attributes, _, hits, misses = caches.lru_state(obj)
    found = list(caches.entries(obj))

    def undo() -> None:
        caches.set_lru_state(obj, (attributes, [], 0, 0))
        caches.set_lru_state(obj, (attributes, found, hits, misses))

    try:
        caches.set_lru_state(obj, new)
    except BaseException:
        undo()
        raise
    return undo


def _merge_weak(obj: Any, new: Any) -> Undo:
    old = weak.weak_state(obj)
    try:
        weak.set_weak_state(obj, new)
    except BaseException:
        weak.set_weak_state(obj, old)
        raise
    return lambda: weak.set_weak_state(obj, old)


def _merge_exception(obj: Any, new: Any) -> Undo:
    old, traceback = exceptions.exception_state(obj), obj.__traceback__

    def undo() -> None:
        exceptions.set_exception_state(obj, old)
        obj.__traceback__ = traceback

    exceptions.set_exception_state(obj, new)
    return undo


def _merge_class(obj: type, new: dict[str, Any]) -> Undo:
    now = content("class", obj)
    changed = {name: value for name, value in new.items() if name not in now or now[name] is not value}
    gone = [name for name in now if name not in new]

    def put(values: dict[str, Any], without: Any) -> None:
        for name, value in values.items():
            type.__setattr__(obj, name, value)
        for name in without:
            if name in obj.__dict__:
                type.__delattr__(obj, name)

    put(changed, gone)
    before = {name: now[name] for name in (*changed, *gone) if name in now}
    return lambda: put(before, [name for name in changed if name not in now])


def _merge_object(obj: Any, new: Any) -> Undo:
    cls, attributes, slots, replaces = new
    before = type(obj)
    undo_slots = _set_slots(obj, slots, replaces)
    own = object.__getattribute__(obj, "__dict__") if type(obj).__dictoffset__ else {}
    undo_attributes = _set_attributes(obj, attributes if replaces else {**own, **attributes})
    if cls is not before:
        object.__setattr__(obj, "__class__", cls)

    def undo() -> None:
        if cls is not before:
            object.__setattr__(obj, "__class__", before)
        undo_attributes()
        undo_slots()

    return undo


def slot_values(obj: Any) -> dict[str, Any]:
    names = copyreg._slotnames(type(obj))  # type: ignore[attr-defined]
    return {name: getattr(obj, name) for name in names if hasattr(obj, name)}


def _set_slots(obj: Any, slots: dict[str, Any], replaces: bool) -> Undo:
    old = slot_values(obj)

    def put(values: dict[str, Any], without: Any) -> None:
        for name in without:
            object.__delattr__(obj, name)
        for name, value in values.items():
            object.__setattr__(obj, name, value)

    put(slots, [name for name in old if name not in slots] if replaces else ())
    return lambda: put(old, [name for name in slots if name not in old])


def _merge_stateful(obj: Any, state: Any) -> Undo:
    attributes = object.__getattribute__(obj, "__dict__") if type(obj).__dictoffset__ else {}
    old, old_slots = dict(attributes), slot_values(obj)

    def undo() -> None:
        _set_attributes(obj, old)
        _set_slots(obj, old_slots, True)

    try:
        obj.__setstate__(state)
    except BaseException:
        undo()
        raise
    return undo


def _merge_restorable(obj: Any, state: Any) -> Undo:
    old = content("restorable", obj)
    obj.__setstate__(state)
    return lambda: obj.__setstate__(old)


def _merge_array(array: Any, new: Any) -> Undo:
    """All but its memory, which is filled when every other step has been taken (`fill_array`): large arrays need no copy of what
    they were."""
    _, _, layout = new
    was, old_layout = array.flags.writeable, (dtype_code(array.dtype), array.shape)

    def undo() -> None:
        if layout is not None:
            relayout(array, *old_layout)
        array.flags.writeable = was

    try:
        array.flags.writeable = True
        if layout is not None:
            relayout(array, *layout)
    except BaseException:
        undo()
        raise
    return undo


def fill_array(array: Any, new: Any) -> None:
    """What `merge` leaves out of an array. Cannot fail: sizes are validated, and `merge` has made it writeable."""
    writeable, pieces, _ = new
    whole = contiguous(array)
    fill(whole, pieces)
    if whole is not array:
        array[...] = whole
    array.flags.writeable = writeable


def _merge_objects(array: Any, new: Any) -> Undo:
    old = objects_of(array)
    set_objects(array, new[1])
    return lambda: set_objects(array, old)


def _merge_frame(frame: Any, new: Any) -> Undo:
    old = dict(vars(frame))

    def undo() -> None:
        _set_attributes(frame, old)

    try:
        frames.set_frame_state(frame, new)
    except BaseException:
        undo()
        raise
    return undo


def _merge_index(index: Any, new: Any) -> Undo:
    old = frames.merge_index(index, new)

    def undo() -> None:
        _set_attributes(index, old)

    return undo


def _merge_refs(refs: Any, shared: bool) -> Undo:
    before = frames.mark_shared(refs, shared)

    def undo() -> None:
        frames.mark_shared(refs, before)

    return undo


_MERGES: dict[str, Callable[[Any, Any], Undo]] = {
    "list": _merge_list,
    "dict": _merge_dict,
    "set": _merge_refill,
    "deque": _merge_refill,
    "bytearray": _merge_bytearray,
    "cell": _merge_cell,
    "function": _merge_function,
    "lru": _merge_lru,
    "weak": _merge_weak,
    "exception": _merge_exception,
    "class": _merge_class,
    "object": _merge_object,
    "stateful": _merge_stateful,
    "array": _merge_array,
    "restorable": _merge_restorable,
    "objects": _merge_objects,
    "frame": _merge_frame,
    "index": _merge_index,
    "refs": _merge_refs,
}
