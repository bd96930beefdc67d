"""Memory of the interpreter's own objects that has other bytes once they have been changed.

Bytes of any number of objects are joined and compared for a fraction of what looking at values costs. Each kind is tried
on a sample first; where it does not show what it must (another interpreter, a later version) there is None instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_HEAD = object.__basicsize__  # reference count and type
_WORD = ctypes.sizeof(ctypes.c_void_p)
_VERSION = _HEAD + _WORD  # PyDictObject: ma_used, ma_version_tag (until 3.13; another one after every change of any dict)
_INLINE_VALUES = 1 << 2  # Py_TPFLAGS_INLINE_VALUES (since 3.13): what instances hold lies behind their head


def view(address: int, size: int, owner: Any) -> memoryview:
    """Keeps alive what the memory belongs to."""
    memory: Any = (ctypes.c_char * size).from_address(address)
    memory.owner = owner
    return memoryview(memory).cast("B")


def of_body(obj: Any) -> memoryview:
    """All that lies in the object itself: of an object in C its fields, of a list how many items it has, not which."""
    return view(id(obj) + _HEAD, type(obj).__basicsize__ - _HEAD, obj)


def of_dict(content: dict[Any, Any]) -> memoryview | None:
    return _of_dict(content) if _SHOWS_DICTS else None


def of_attributes(obj: Any) -> memoryview | None:
    """Of an instance of a class in Python. What has been replaced must be kept alive, or what follows may lie in its place."""
    return _of_attributes(obj) if _SHOWS_ATTRIBUTES else None


def _of_dict(content: dict[Any, Any]) -> memoryview:
    return view(id(content) + _VERSION, 8, content)


def _of_attributes(obj: Any) -> memoryview:
    kind = type(obj)
    if kind.__flags__ & _INLINE_VALUES:
        start = id(obj) + kind.__basicsize__
        capacity, _, _, is_in_use = view(start, 4, obj)
        if is_in_use:
            return view(start, (1 + capacity) * _WORD, obj)
    return _of_dict(vars(obj))


class _Sample:
    def __init__(self) -> None:
        self.one, self.other = object(), object()


def _shows_dicts() -> bool:
    sample: dict[str, Any] = {"one": object()}
    return dict.__basicsize__ >= _VERSION + 8 + 2 * _WORD and shows(
        _of_dict(sample),
        lambda: sample.update(one=object()),
        lambda: sample.update(other=object()),
        lambda: sample.pop("one"),
        sample.clear,
    )


def _shows_attributes() -> bool:
    sample = _Sample()
    kept = vars(sample).copy()
    return _SHOWS_DICTS and shows(
        _of_attributes(sample),
        lambda: setattr(sample, "one", object()),
        lambda: setattr(sample, "third", kept),
        lambda: delattr(sample, "other"),
        lambda: setattr(sample, "other", object()),
    )


def shows(memory: memoryview, *changes: Callable[[], Any]) -> bool:
    """Whether each change of what the memory belongs to can be seen in it, and nothing else."""
    for change in changes:
        before = bytes(memory)
        if bytes(memory) != before:
            return False
        change()
        if bytes(memory) == before:
            return False
    return True


_SHOWS_DICTS = _shows_dicts()
_SHOWS_ATTRIBUTES = _shows_attributes()
