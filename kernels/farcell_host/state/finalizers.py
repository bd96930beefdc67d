"""Objects of the notebook's own classes that do something when they die: a second one at the peer would do it twice.

A class says that this is meant by `__farcell_by_value__ = True`. Library types are trusted: their own reducers know.
"""

from __future__ import annotations

import weakref
from typing import Any

from .functions import is_by_value

WITH_DEL = "an object with __del__, which would run on both sides"
FINALIZED = "an object with a weakref.finalize, which would run on both sides"
HINT = "Make it inside the remote cell, or let it go by value: set __farcell_by_value__ = True on its class"


def finalizer_of_type(kind: type) -> str | None:
    """What of each object of this class would run twice, in the words of a refusal."""
    if any("__del__" in base.__dict__ and is_by_value(base) for base in kind.__mro__[:-1]):
        return WITH_DEL
    return None


def goes_by_value(kind: type) -> bool:
    """Whether the class says that a second one does no harm."""
    return bool(getattr(kind, "__farcell_by_value__", False))


def finalized() -> set[int]:
    """The ids of all objects that something was registered for with `weakref.finalize`."""
    registry: dict[Any, Any] = weakref.finalize._registry  # type: ignore[attr-defined]
    return {id(obj) for info in list(registry.values()) if (obj := info.weakref()) is not None}
