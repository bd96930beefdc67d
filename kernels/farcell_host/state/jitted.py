"""jax's compiled functions: as jax pickles them, with the attributes that it leaves out (`__name__`, `__wrapped__`)."""

from __future__ import annotations

import copyreg
from typing import Any


def reducer(kind: type) -> Any:
    """How objects of this type go into a pickle; None for their own way."""
    return _reduce_jitted if kind.__name__ == "PjitFunction" and kind.__module__.startswith("jaxlib.") else None


def _reduce_jitted(function: Any) -> Any:
    state = function.__getstate__(), dict(vars(function))
    return copyreg.__newobj__, (type(function),), state, None, None, set_jitted_state  # type: ignore[attr-defined]


def set_jitted_state(function: Any, state: tuple[Any, dict[str, Any]]) -> None:
    function.__setstate__(state[0])
    vars(function).update(state[1])
