"""Classes with a way of their own into a pickle, and when it is not asked.

In a plain notebook nothing is pickled: what `__getstate__` leaves out, and what `__setstate__` does instead, would show that a
cell was remote. So an instance of the notebook's own class travels whole, attribute by attribute, past such methods. Only where
an attribute cannot travel (a lock that the class leaves out) its class' own way is used, and from then on for all of them. Some
classes of packages, whose own way leaves out what can well be seen, travel whole too.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

from . import context
from .dynamic import slots_of
from .functions import is_by_value

_METHODS = {"__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__", "__new__"}
_OF_ITEMS = {"__iter__", "append", "extend", "items", "__setitem__"}
"""What pickle calls of lists and dicts."""
_OF_PACKAGES = frozenset({
    ("sklearn.utils._bunch", "Bunch"),  # its __setstate__ does nothing
    ("scipy.sparse._dok", "_dok_base"),  # a dict whose items are in another one
    ("torch.optim.optimizer", "Optimizer"),  # forgets hooks, and what it has warned of
    ("ipaddress", "_IPAddressBase"),  # forgets its cached properties
})  # fmt: skip
_BASES = (object, list, dict)
_HEAP_TYPE = 1 << 9
_POINTER_BYTES = object.__basicsize__ // 2

_MOST_TRIED = 16
"""Instances of a class that are tried one by one when a dump has failed."""

_asked: WeakSet[type] = WeakSet()
"""Classes of instances that could not travel whole."""


def goes_whole(kind: Any) -> bool:
    """Whether instances of this type travel past a way of their own into a pickle."""
    return may_go_whole(kind) and kind not in _asked


def may_go_whole(kind: Any) -> bool:
    """Whether its own way is asked only when something in an instance cannot travel."""
    return _may_go_whole(kind)


@functools.lru_cache(4096)
def _may_go_whole(kind: Any) -> bool:
    if issubclass(kind, (type, BaseException)) or _base_of(kind) is None:
        return False
    methods = _METHODS if _base_of(kind) is object else _METHODS | _OF_ITEMS
    if any((cls.__module__, cls.__qualname__) in _OF_PACKAGES for cls in kind.__mro__):
        return True
    for cls in kind.__mro__[:-1]:
        if cls not in _BASES and not methods.isdisjoint(cls.__dict__):
            return is_by_value(cls)
    return False


def _base_of(kind: Any) -> Any:
    """What a class of Python is built on; None when it has state of C's, too."""
    base = next(each for each in kind.__mro__ if not each.__flags__ & _HEAP_TYPE)
    slots = sum(type(member).__name__ == "member_descriptor" for cls in kind.__mro__ for member in cls.__dict__.values())
    room = _POINTER_BYTES * (slots + 2)  # the two are __dict__ and __weakref__, before Python 3.12
    return base if base in _BASES and kind.__basicsize__ <= base.__basicsize__ + room else None


def reduce_whole(obj: Any) -> tuple[Any, ...]:
    kind = type(obj)
    attributes = object.__getattribute__(obj, "__dict__") if kind.__dictoffset__ else None
    items = list(list.__iter__(obj)) if issubclass(kind, list) else dict(dict.items(obj)) if issubclass(kind, dict) else None
    return make_empty, (kind,), (attributes, slots_of(obj), items), None, None, set_whole


def make_empty(kind: Any) -> Any:
    return _base_of(kind).__new__(kind)


def set_whole(obj: Any, state: tuple[Any, Any, Any]) -> None:
    """Called by unpickling, for an instance that was just made."""
    attributes, slots, items = state
    if attributes:
        object.__getattribute__(obj, "__dict__").update(attributes)
    for name, value in slots.items():
        object.__setattr__(obj, name, value)
    if isinstance(obj, list):
        list.extend(obj, items)
    elif isinstance(obj, dict):
        dict.update(obj, items)


def reduce_own_way(obj: Any) -> Any:
    """Of a class that was asked."""
    reduced = obj.__reduce_ex__(4)
    if not hasattr(type(obj), "__setstate__") or not isinstance(reduced, tuple) or len(reduced) < 3 or reduced[2] is None:
        return reduced
    return (*(*reduced, None, None)[:5], restore)


def restore(obj: Any, state: Any) -> None:
    """Called by unpickling. What `__setstate__` uses may be bound with this very payload."""
    try:
        obj.__setstate__(state)
    except NameError:
        context.current().late.append((obj, state))


def ask_where_needed(met: Iterable[Any], can_travel: Callable[[Any], bool]) -> bool:
    """After a dump that failed: let the class of the innermost of its instances that cannot travel whole go its own way.

    `met` is what the dump met, in that order. The answer is whether another try is worth while.
    """
    tried: Counter[type] = Counter()
    for obj in reversed(list(met)):
        kind: Any = type(obj)
        if goes_whole(kind) and tried[kind] < _MOST_TRIED:
            tried[kind] += 1
            if not can_travel(obj):
                _asked.add(kind)
                return True
    return False
