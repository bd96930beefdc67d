"""Weak references and proxies: the peer's looks at the peer's own object, one that is dead stays dead.

The object goes along, since nothing else of what is read may lead to it. References without a callback are one per object, as
Python makes them.
"""

from __future__ import annotations

import copyreg
import weakref
from types import FunctionType
from typing import Any

from .refusals import Refused
from .weak import is_weak

CALLBACK = "a weak reference with a callback of the notebook's, which would run on both sides"
HINT = "Make it inside the remote cell, or leave the callback out"
_OWN_OF_KINDS = frozenset(
    name for kind in (weakref.WeakMethod, weakref.KeyedRef) for name in kind.__dict__.get("__slots__", ()) if name != "key"
)
_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)


class _Gone:
    """What dead references looked at."""

    def method(self) -> None: ...


def reducer(kind: type) -> Any:
    """How objects of this type go into a pickle; None for what is no weak reference."""
    if issubclass(kind, weakref.WeakMethod):
        return _reduce_method
    if issubclass(kind, weakref.ref):
        return _reduce_ref
    return _reduce_proxy if kind in _PROXIES else None


def _reduce_ref(ref: Any) -> tuple[Any, ...]:
    callback = ref.__callback__
    if callback is not None and getattr(callback, "__module__", None) == "__main__":
        raise Refused(ref, CALLBACK, HINT)
    return make_ref, (type(ref), ref(), callback), _state(ref), None, None, set_state


def make_ref(kind: Any, target: Any, callback: Any) -> Any:
    return weakref.ref.__new__(kind, _Gone() if target is None else target, callback)


def _reduce_method(ref: Any) -> tuple[Any, ...]:
    """Its own callback is a closure around the one it was given."""
    inner: FunctionType = ref.__callback__
    cells = dict(zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True))
    callback = cells["callback"].cell_contents
    if getattr(callback, "__module__", None) == "__main__":
        raise Refused(ref, CALLBACK, HINT)
    return make_method, (type(ref), ref(), callback), _state(ref), None, None, set_state


def make_method(kind: Any, method: Any, callback: Any) -> Any:
    return weakref.WeakMethod.__new__(kind, _Gone().method if method is None else method, callback)


def _state(ref: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What a subclass has added: (attributes, slots)."""
    slots = {name: getattr(ref, name) for name in copyreg._slotnames(type(ref)) if hasattr(ref, name)}  # type: ignore[attr-defined]
    added = {name: value for name, value in slots.items() if name not in _OWN_OF_KINDS}
    attributes = dict(getattr(ref, "__dict__", ()))
    return (attributes, added) if attributes or added else None


def set_state(ref: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    attributes, slots = state
    for name, value in (*attributes.items(), *slots.items()):
        object.__setattr__(ref, name, value)


def _reduce_proxy(proxy: Any) -> tuple[Any, ...]:
    try:
        target = proxy.__reduce_ex__.__self__
    except ReferenceError:
        target = None
    return make_proxy, (target,)


def make_proxy(target: Any) -> Any:
    return weakref.proxy(_Gone() if target is None else target)


def is_weak_holder(kind: type) -> bool:
    """References, proxies, and containers of them."""
    return issubclass(kind, weakref.ref) or kind in _PROXIES or is_weak(kind)


def strong_parts(holder: Any) -> list[Any]:
    """What it keeps alive."""
    if isinstance(holder, weakref.WeakKeyDictionary):
        return list(holder.values())
    if isinstance(holder, weakref.WeakValueDictionary):
        return list(holder.keys())
    return []
