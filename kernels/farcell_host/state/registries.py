"""matplotlib's registries of callbacks, whose `__getstate__` takes the next number for a callback: looked at twice, a figure
would differ from itself. Here the number is given back."""

from __future__ import annotations

import copyreg
import itertools
import sys
from collections.abc import Callable
from typing import Any


def is_registry(kind: Any) -> bool:
    found = getattr(sys.modules.get("matplotlib.cbook"), "CallbackRegistry", None)
    return found is not None and issubclass(kind, found)


def reducer(kind: type) -> Callable[[Any], Any] | None:
    return reduce_registry if is_registry(kind) else None


def reduce_registry(registry: Any) -> tuple[Any, ...]:
    return copyreg.__newobj__, (type(registry),), state_of(registry)  # type: ignore[attr-defined]


def state_of(registry: Any) -> Any:
    """As its class gives it."""
    state = registry.__getstate__()
    number = state.get("_cid_gen") if isinstance(state, dict) else None
    if isinstance(number, int):
        registry._cid_gen = itertools.count(number)
    return state
