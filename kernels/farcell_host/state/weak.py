"""Weak dictionaries and sets travel as what is in them; it lives as long as something else holds it, on either side."""

from __future__ import annotations

import functools
import weakref
from typing import Any

KINDS: tuple[type, ...] = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)


def is_weak(kind: type) -> bool:
    return issubclass(kind, KINDS)


def _base(kind: type) -> Any:
    return next(each for each in kind.__mro__ if each in KINDS)


@functools.cache
def _own(base: Any) -> frozenset[str]:
    """Attributes that the class itself makes and keeps up to date."""
    return frozenset(vars(base())) - {"_dirty_len"}


def reduce_weak(container: Any) -> tuple[Any, ...]:
    return make_weak, (type(container),), weak_state(container), None, None, set_weak_state


def make_weak(kind: type) -> Any:
    base = _base(kind)
    container = base.__new__(kind)
    base.__init__(container)
    return container


def weak_state(container: Any) -> tuple[list[Any], dict[str, Any]]:
    """What is in it, and the attributes of a subclass."""
    base = _base(type(container))
    own = _own(base)
    found = list(base.__iter__(container) if base is weakref.WeakSet else base.items(container))
    return found, {name: value for name, value in vars(container).items() if name not in own}


def set_weak_state(container: Any, state: tuple[list[Any], dict[str, Any]]) -> None:
    found, attributes = state
    base = _base(type(container))
    own = _own(base)
    container.data.clear()
    if base is weakref.WeakSet:
        for each in found:
            base.add(container, each)
    else:
        for key, value in found:
            base.__setitem__(container, key, value)
    for name in [name for name in vars(container) if name not in own]:
        del vars(container)[name]
    vars(container).update(attributes)
