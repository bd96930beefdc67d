"""Instances of the notebook's classes that are made or copied in a way of their own (`__new__`, `__getstate__`, `__setstate__`).

That way may leave out, make anew or count something, which a plain notebook would not show: they go past it, attribute by
attribute. Where not all of one can travel, say a lock, its class' own way is the next best, from then on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

from .dynamic import attributes_of, built_in_base, reduces_by_default, set_state, slots_of
from .filled import content_of, fill
from .functions import is_by_value

T = TypeVar("T")

_WAYS = ("__new__", "__getstate__", "__setstate__")
_met: WeakSet[Any] = WeakSet()
_give_way: WeakSet[Any] = WeakSet()


def goes_whole(kind: Any) -> bool:
    return has_own_way(kind) and kind not in _give_way


def _has_own_way(kind: Any) -> bool:
    if not reduces_by_default(kind) or built_in_base(kind) not in (object, list, dict):
        return False
    definers = (next((each for each in kind.__mro__ if way in each.__dict__), object) for way in _WAYS)
    return any(each is not object and is_by_value(each) for each in definers)


has_own_way: Callable[[Any], bool] = functools.lru_cache(4096)(_has_own_way)
"""Whether the notebook's own code would make an instance or be asked for its state."""


def reduce_whole(obj: Any) -> tuple[Any, ...]:
    kind = type(obj)
    _met.add(kind)
    state = content_of(obj), (attributes_of(obj), slots_of(obj))
    return make_whole, (kind,), state, None, None, set_whole


def make_whole(kind: Any) -> Any:
    """Called by unpickling."""
    return built_in_base(kind).__new__(kind)


def set_whole(obj: Any, state: tuple[Any, Any]) -> None:
    """Called by unpickling, for an instance that was just made."""
    content, own = state
    fill(obj, content)
    set_state(obj, own)


def whole_or_not(dump: Callable[[], T]) -> T:
    """Dumps once more where it fails with whole instances in it, these in their classes' own way."""
    _met.clear()
    try:
        return dump()
    except Exception:
        met = set(_met)
        if not met:
            raise
        _give_way.update(met)
        try:
            return dump()
        except Exception:
            _give_way.difference_update(met)
        raise
