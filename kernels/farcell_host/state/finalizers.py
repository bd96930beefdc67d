"""Objects of the notebook's own classes that do something when they die: a second one at the peer would do it twice.

A class says that this is meant by `__farcell_by_value__ = True`. Library types are trusted: their own reducers know.
"""

from __future__ import annotations

import weakref
from typing import Any

from .functions import is_by_value

HINT = "Make it inside the remote cell, or let it go by value: set __farcell_by_value__ = True on its class"


def finalizer_of(obj: Any) -> str | None:
    """What of this object would run twice, in the words of a refusal."""
    kind = type(obj)
    if getattr(kind, "__farcell_by_value__", False):
        return None
    if any("__del__" in base.__dict__ and is_by_value(base) for base in kind.__mro__[:-1]):
        return "an object with __del__, which would run on both sides"
    registry: dict[Any, Any] = weakref.finalize._registry  # type: ignore[attr-defined]
    if registry and any(info.weakref() is obj for info in list(registry.values())):
        return "an object with a weakref.finalize, which would run on both sides"
    return None
