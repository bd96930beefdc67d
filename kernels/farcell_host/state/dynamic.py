"""Instances whose class answers for attributes that they do not have (`__getattr__`, `__getattribute__`).

pickle asks the instance itself for `__setstate__`, and before Python 3.11 for `__getstate__`: such a class may answer anything,
or ask for an attribute that an empty instance has not got yet. Here the class is asked, and attributes are set past it.
"""

from __future__ import annotations

import copyreg
from types import FunctionType
from typing import Any


def is_dynamic(kind: Any) -> bool:
    """Whether looking an attribute up on an instance may run code written in Python; never for what has a state of C's."""
    base = next(each for each in kind.__mro__ if not each.__flags__ & _HEAP_TYPE)
    return base in (object, list, dict) and (hasattr(kind, "__getattr__") or isinstance(kind.__getattribute__, FunctionType))


_HEAP_TYPE = 1 << 9


def reduce_dynamic(obj: Any) -> tuple[Any, ...]:
    """As `object.__reduce_ex__` does it."""
    kind = type(obj)
    items = iter(list.__iter__(obj)) if issubclass(kind, list) else None
    pairs = iter(dict.items(obj)) if issubclass(kind, dict) else None
    return copyreg.__newobj__, (kind,), state_of(obj), items, pairs, set_state  # type: ignore[attr-defined]


def state_of(obj: Any) -> Any:
    """What the class gives, or (attributes, slots)."""
    own: Any = getattr(type(obj), "__getstate__", None)
    if own is not None and own is not getattr(object, "__getstate__", None):
        return own(obj)
    attributes = dict(object.__getattribute__(obj, "__dict__")) if type(obj).__dictoffset__ else {}
    return attributes or None, slots_of(obj)


def slots_of(obj: Any) -> dict[str, Any]:
    """Values of its slots, the names as copyreg mangles them."""
    found = {}
    for name in copyreg._slotnames(type(obj)):  # type: ignore[attr-defined]
        try:
            found[name] = object.__getattribute__(obj, name)
        except AttributeError:
            continue
    return found


def set_state(obj: Any, state: Any) -> None:
    """Called by unpickling, for an instance that was just made."""
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes:
        object.__getattribute__(obj, "__dict__").update(attributes)
    for name, value in (slots or {}).items():
        object.__setattr__(obj, name, value)
