"""Protocols: what `typing` keeps in one to check instances by differs between versions, so the receiver's makes it anew."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

from .functions import is_by_value

_KEPT_BY_TYPING = frozenset({"__protocol_attrs__", "__callable_proto_members_only__", "__non_callable_proto_members__"})


def is_protocol(cls: Any) -> bool:
    return bool(cls.__dict__.get("_is_protocol", False))


def is_protocol_state(name: str, value: Any) -> bool:
    """Whether it is not typing's own."""
    if name in _KEPT_BY_TYPING:
        return False
    function = getattr(value, "__func__", value)
    return not isinstance(function, FunctionType) or function.__module__ not in ("typing", "typing_extensions")


def complete_protocol(cls: Any) -> None:
    """Its members are there by now. What else typing puts into a protocol it did when the skeleton was made."""
    metaclass: Any = next(each for each in type(cls).__mro__ if not is_by_value(each))
    maker: Any = sys.modules[metaclass.__module__]
    if "__init__" in metaclass.__dict__:
        metaclass.__init__(cls, cls.__name__, cls.__bases__, {})
    if cls.__dict__.get("_is_runtime_protocol", False):
        maker.runtime_checkable(cls)
