"""How each kind of known object is described to the peer, which merges it into the object it already has (`merges.py`).

An object of no kind here is opaque: when it changed, the peer gets a new one.
"""

from __future__ import annotations

import array
import collections
import copyreg
import functools
from types import CellType, FunctionType, ModuleType
from typing import Any

from . import (
    caches,
    dynamic,
    exceptions,
    frames,
    handlers,
    images,
    iterators,
    ownways,
    registries,
    sets,
    streams,
    tensors,
    weak,
    weakrefs,
)
from .arrays import base_of, is_array, is_merged_record, is_record, objects_of, record_content
from .classes import class_content
from .functions import cell_content, cells_of, function_state, is_by_value, own_globals
from .handmade import handmade_state, is_handmade


def kind_of(obj: Any) -> str | None:
    """The name of the merge for this object; None for an opaque one."""
    if is_array(obj):
        return "objects" if obj.dtype == object else None if obj.dtype.hasobject else "array"
    if is_record(type(obj)):
        return "record" if is_merged_record(obj) else None
    if issubclass(type(obj), type):
        return "class"
    if type(obj) is caches.WRAPPER:
        return "lru" if is_by_value(obj) else None
    if issubclass(type(obj), ModuleType):
        return "module" if is_handmade(obj) else None
    kind: Any = type(obj)
    if ownways.goes_whole(kind):
        return _of_layout(kind)
    found = kind_of_type(kind)
    return found if found != "tensor" or tensors.is_merged(obj) else None


@functools.lru_cache(4096)
def kind_of_type(kind: type) -> str | None:
    exact: dict[type, str] = {
        bytearray: "bytearray", CellType: "cell", FunctionType: "function", collections.deque: "deque",
        collections.Counter: "dict", collections.defaultdict: "dict", collections.OrderedDict: "dict",
        list: "list", dict: "dict", set: "set",
    }  # fmt: skip
    if kind in exact:
        return exact[kind]
    if kind in streams.KINDS:
        return "stream"
    if kind is array.array:
        return "numbers"
    if iterators.is_positioned(kind):
        return "position"
    of_pandas = frames.kind_of_type(kind)
    if of_pandas is not None:
        return of_pandas
    of_torch = tensors.kind_of_type(kind)
    if of_torch is not None:
        return of_torch
    if images.is_image(kind):
        return "image"
    if weak.is_weak(kind):
        return "weak"
    if exceptions.is_plain(kind):
        return "exception"
    if handlers.is_handler(kind):
        return "handler"
    if not reduces_by_default(kind) or kind is functools.cached_property:
        return None
    if hasattr(kind, "__setstate__"):
        return None if _is_made_by_state(kind) else "stateful"
    return _of_layout(kind)


def _of_layout(kind: type) -> str:
    return "list" if issubclass(kind, list) else "dict" if issubclass(kind, dict) else "object"


def is_merged_whole(kind: Any) -> bool:
    """Whether nothing needs to be remembered of objects of this type: their whole content goes when they changed."""
    if ownways.goes_whole(kind):
        return True
    return kind.__module__ != "numpy" and not issubclass(kind, type) and kind_of_type(kind) is not None


def reduces_by_default(kind: type) -> bool:
    if kind in copyreg.dispatch_table or hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__"):
        return False
    if weakrefs.reducer(kind) is not None:
        return False
    if kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:  # type: ignore[comparison-overlap]
        return False
    return kind.__flags__ & _HEAP_TYPE != 0 and not issubclass(kind, (int, str, float, complex, bytes, tuple, frozenset))


_HEAP_TYPE = 1 << 9


def _is_made_by_state(kind: type) -> bool:
    """Whether `__setstate__` is a constructor, as nanobind and pybind11 make it: what exists already cannot be given a state."""
    return type(kind).__module__ in ("nanobind", "pybind11_builtins")


def is_restorable(obj: Any) -> bool:
    """Whether an opaque object takes its whole state from `__setstate__`, as long as it would be made of the same arguments."""
    kind = type(obj)
    if not hasattr(kind, "__setstate__") or issubclass(kind, BaseException) or hasattr(kind, "__array_finalize__"):
        return False
    if _is_made_by_state(kind):
        return False
    reduced = iterators.reduced(obj)
    return isinstance(reduced, tuple) and len(reduced) > 2 and reduced[2] is not None and not any(reduced[3:])


def made_of(obj: Any) -> Any:
    """What of a restorable object a merge cannot change."""
    return iterators.reduced(obj)[:2]


def content(kind: str, obj: Any) -> Any:
    """What the peer needs to make its own object equal to this one."""
    if kind == "list":
        return list(list.__iter__(obj)), _attributes(obj)
    if kind == "dict":
        return items_of(obj), _attributes(obj), factory_of(obj)
    if kind == "set":
        return sets.recipe(obj)
    if kind == "deque":
        return list(obj)
    if kind == "bytearray":
        return bytes(obj)
    if kind == "cell":
        return cell_content(obj)
    if kind == "function":
        # cells and globals of its own are the peer's already; named, their own states follow
        return function_state(obj), cells_of(obj), own_globals(obj)
    if kind == "exception":
        return exceptions.exception_state(obj)
    if kind == "handler":
        return handlers.handler_state(obj)
    if kind == "weak":
        return weak.weak_state(obj)
    if kind == "lru":
        return caches.lru_state(obj)
    if kind == "module":
        return handmade_state(obj)
    if kind == "class":
        # its bases and its metaclass are the peer's already; named, their own states follow
        return class_content(obj), (*obj.__bases__, type(obj))
    if kind == "frame":
        return frames.frame_state(obj)
    if kind == "index":
        return frames.index_content(obj)
    if kind == "refs":
        return frames.is_shared(obj)
    if kind == "tensor":
        return tensors.tensor_state(obj)
    if kind == "generator":
        return tensors.generator_state(obj)
    if kind == "objects":
        return obj.shape, objects_of(obj) if base_of(obj) is None else None
    if kind == "image":
        return images.image_state(obj)
    if kind == "record":
        return record_content(obj)
    if kind == "stream":
        return streams.stream_state(obj)
    if kind == "numbers":
        return obj.tobytes()
    if kind == "position":
        return iterators.position_of(obj)
    if kind == "restorable":
        return iterators.reduced(obj)[2]
    if ownways.goes_whole(type(obj)):
        return type(obj), _attributes(obj) or {}, dynamic.slots_of(obj), True
    state = _state(obj)
    if kind == "stateful":
        items = list(list.__iter__(obj)) if isinstance(obj, list) else items_of(obj) if isinstance(obj, dict) else None
        return dict(state) if state is getattr(obj, "__dict__", None) else state, items  # type: ignore[arg-type]
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return type(obj), dict(attributes or {}), slots or {}, not has_getstate(type(obj))


def _state(obj: Any) -> Any:
    if registries.is_registry(type(obj)):
        return registries.state_of(obj)
    return dynamic.state_of(obj) if dynamic.is_dynamic(type(obj)) else obj.__reduce_ex__(4)[2]


def has_getstate(kind: type) -> bool:
    """Whether its objects say themselves what their state is."""
    return getattr(kind, "__getstate__", None) is not getattr(object, "__getstate__", None)


def _attributes(obj: Any) -> dict[str, Any] | None:
    own: dict[str, Any] = object.__getattribute__(obj, "__dict__") if type(obj).__dictoffset__ else {}
    return dict(own) or None


def factory_of(obj: Any) -> Any:
    """Of a defaultdict."""
    return obj.default_factory if isinstance(obj, collections.defaultdict) else None


def items_of(obj: Any) -> dict[Any, Any]:
    ordered = isinstance(obj, collections.OrderedDict)  # its order is in its links, not in the dict below
    return dict(collections.OrderedDict.items(obj) if ordered else dict.items(obj))
