"""Lists and dicts of classes that have their own way to be filled (`__setitem__`, `append`, `extend`).

pickle goes that way, before an instance has its attributes: it may fail, and what it prints or counts would show. Here they are
filled past it, as a merge does.
"""

from __future__ import annotations

import collections
import copyreg
from typing import Any

from .dynamic import set_state, state_of
from .kinds import factory_of, items_of

_WAYS: dict[Any, tuple[str, ...]] = {
    collections.OrderedDict: ("__setitem__",),
    collections.defaultdict: ("__setitem__",),
    dict: ("__setitem__",),
    list: ("append", "extend"),
}


def fills_itself(kind: Any) -> bool:
    """Never true where the class says itself how it is pickled."""
    base = next((each for each in _WAYS if issubclass(kind, each)), None)
    if base is None or kind in copyreg.dispatch_table or hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__"):
        return False
    if kind.__reduce__ is not base.__reduce__ or kind.__reduce_ex__ is not base.__reduce_ex__:
        return False
    return any(getattr(kind, way) is not getattr(base, way) for way in _WAYS[base])


def reduce_filled(obj: Any) -> tuple[Any, ...]:
    content = items_of(obj) if isinstance(obj, dict) else list(list.__iter__(obj))
    state = content, factory_of(obj), state_of(obj)
    return copyreg.__newobj__, (type(obj),), state, None, None, set_filled  # type: ignore[attr-defined]


def set_filled(obj: Any, state: tuple[Any, Any, Any]) -> None:
    """Called by unpickling, for an instance that was just made."""
    content, factory, own = state
    if isinstance(obj, dict):
        fill_dict(obj, content)
    else:
        list.__setitem__(obj, slice(None), content)
    if isinstance(obj, collections.defaultdict):
        obj.default_factory = factory
    if hasattr(type(obj), "__setstate__"):
        obj.__setstate__(own)
    else:
        set_state(obj, own)


def fill_dict(obj: Any, items: dict[Any, Any]) -> None:
    if isinstance(obj, collections.OrderedDict):  # dict.update would pass its links by
        collections.OrderedDict.clear(obj)
        for key, value in items.items():
            collections.OrderedDict.__setitem__(obj, key, value)
    else:
        dict.clear(obj)
        dict.update(obj, items)
