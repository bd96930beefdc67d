"""A known object that cannot be changed in place gets a successor, which takes its place wherever this process holds it.

What holds it is asked of the garbage collector: names, containers, instances, closures, defaults, classes. What cannot be
changed itself and yet be made anew of other parts (a tuple, a `zip`) gets a successor of its own; what takes its state from
`__setstate__` is given it with the successor in it. What else holds it keeps the old one, which is told. Memory of C that the
collector does not see (arrays of objects that no name of the exchange reaches) keeps it untold.
"""

from __future__ import annotations

import collections
import gc
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import iterators
from .fixed import is_fixed

Put = Callable[[dict[int, Any]], None]
"""Puts the successors, by the id of what they succeed, into one holder."""

_PASSING = (types.FrameType, types.GeneratorType, types.CoroutineType, types.TracebackType)
_MOST_SOUGHT = 64
"""The collector is asked about so many: it compares each with all there is. Of more, names alone get the successors."""
_MOST_LEVELS = 32
"""Of tuples in tuples and the like: each level asks the collector once more. What holds one deeper keeps it, which is told."""

_SLOT = types.MemberDescriptorType


class Spared(dict[Any, Any]):
    """A dict of farcell's own, in which nothing is replaced."""


class Replacements:
    """Which objects are replaced, in which holders; `put` and `take_back` can be called one after the other at will."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]], namespace: dict[str, Any]) -> None:
        """What cannot change is not looked for, unless it holds something that is replaced."""
        pairs = list(pairs)
        self.left: list[str] = []
        """What keeps an old one: "itertools.islice in operator.itemgetter"."""
        self._successors = {id(old): new for old, new in pairs}
        self._met = {id(old): old for old, _ in pairs}
        self._puts: list[Put] = [_into_dict(namespace)]
        self._own = {id(namespace), id(pairs), *map(id, pairs), *(id(new) for _, new in pairs)}
        first = [old for old, _ in pairs if not is_fixed(type(old))]
        if 0 < len(first) <= _MOST_SOUGHT:
            self._find(first)
        for old in list(self._met.values()):
            self._succeed(old)
        self._predecessors = {id(self._successors[key]): old for key, old in self._met.items()}

    def put(self) -> None:
        for put in self._puts:
            put(self._successors)

    def take_back(self) -> None:
        for put in self._puts:
            put(self._predecessors)

    def _find(self, olds: list[Any]) -> None:
        sought = set(map(id, olds))
        alive: list[Any] = [olds]  # so that no other list has the id of one of these
        self._own |= {id(alive), id(olds)}
        for _ in range(_MOST_LEVELS):
            asked = tuple(olds)  # from Python 3.13 on the collector finds the arguments' tuple as well
            holders = gc.get_referrers(*asked)
            following: list[Any] = []
            alive += [asked, holders, following]
            self._own |= {id(asked), id(holders), id(following)}
            for holder in holders:
                if id(holder) in self._own or isinstance(holder, (Spared, *_PASSING)):
                    continue
                self._own.add(id(holder))
                put = _put_into(holder, sought)
                if put is not None:
                    self._puts.append(put)
                elif any(id(part) in sought for part in _parts(holder)):
                    self._met[id(holder)] = holder
                    following.append(holder)
                else:
                    self.left.append(_name(type(holder)))
            if not following:
                return
            sought |= set(map(id, following))
            olds = following
        self.left += [_name(type(old)) for old in olds]

    def _succeed(self, old: Any) -> Any:
        """What cannot be changed, made anew of what its parts are now."""
        if id(old) not in self._successors:
            parts = [self._succeed(part) if id(part) in self._met else part for part in _parts(old)]
            self._successors[id(old)] = _made_of(old, parts)
        return self._successors[id(old)]


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"


def _put_into(holder: Any, olds: set[int]) -> Put | None:
    """How successors are put where this holder has an old one; None when they cannot be."""
    if isinstance(holder, dict):
        owners = _classes_of(holder)
        return _into_class(owners[0]) if owners else _into_dict(holder)
    if isinstance(holder, (list, collections.deque)):
        return _into_sequence(holder)
    if isinstance(holder, set):
        return _into_set(holder)
    if isinstance(holder, types.CellType):
        return _into_cell(holder)
    if isinstance(holder, types.FunctionType):
        return _into_function(holder)
    if isinstance(holder, (type, types.ModuleType, tuple, frozenset)):
        return None  # what a class or a module holds is in its dict
    return _into_instance(holder, olds) or _into_restorable(holder, olds)


def _classes_of(holder: dict[Any, Any]) -> list[type]:
    """The class whose namespace this is."""
    if "__module__" not in holder or "__doc__" not in holder:
        return []
    return [each for each in gc.get_referrers(holder) if isinstance(each, type)]


def _into_class(cls: type) -> Put:
    def put(successors: dict[int, Any]) -> None:
        for name, value in list(vars(cls).items()):
            if id(value) in successors:
                type.__setattr__(cls, name, successors[id(value)])

    return put


def _into_dict(holder: dict[Any, Any]) -> Put:
    set_item: Any = collections.OrderedDict.__setitem__ if isinstance(holder, collections.OrderedDict) else dict.__setitem__

    def put(successors: dict[int, Any]) -> None:
        for key, value in list(dict.items(holder)):
            if id(value) in successors:
                set_item(holder, key, successors[id(value)])
        if any(id(key) in successors for key in dict.keys(holder)):
            items = [(successors.get(id(key), key), value) for key, value in dict.items(holder)]
            holder.clear()
            for key, value in items:
                set_item(holder, key, value)

    return put


def _into_sequence(holder: Any) -> Put:
    def put(successors: dict[int, Any]) -> None:
        base = list if isinstance(holder, list) else collections.deque
        for index, value in enumerate(list(base.__iter__(holder))):
            if id(value) in successors:
                base.__setitem__(holder, index, successors[id(value)])

    return put


def _into_set(holder: set[Any]) -> Put:
    def put(successors: dict[int, Any]) -> None:
        members = [successors.get(id(each), each) for each in set.__iter__(holder)]
        set.clear(holder)
        set.update(holder, members)

    return put


def _into_cell(cell: types.CellType) -> Put:
    def put(successors: dict[int, Any]) -> None:
        cell.cell_contents = successors.get(id(cell.cell_contents), cell.cell_contents)

    return put


def _into_function(function: types.FunctionType) -> Put:
    def put(successors: dict[int, Any]) -> None:
        for name in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, name)
            if id(value) in successors:
                setattr(function, name, successors[id(value)])
        _set_attributes(function, successors)

    return put


def _set_attributes(obj: Any, successors: dict[int, Any]) -> None:
    own = _attributes(obj)
    for name, value in list(own.items()):
        if id(value) in successors:
            own[name] = successors[id(value)]


def _attributes(obj: Any) -> dict[str, Any]:
    try:
        found = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _slots(obj: Any) -> Iterator[tuple[Any, Any]]:
    """Of a class in Python: C's own members do not say what setting them does."""
    for base in type(obj).__mro__:
        for name in base.__dict__.get("__slots__", ()):
            slot = base.__dict__.get(name)
            if type(slot) is _SLOT:
                try:
                    yield slot, slot.__get__(obj)
                except AttributeError:
                    continue


def _into_instance(holder: Any, olds: set[int]) -> Put | None:
    if not any(id(value) in olds for value in (*_attributes(holder).values(), *(value for _, value in _slots(holder)))):
        return None

    def put(successors: dict[int, Any]) -> None:
        _set_attributes(holder, successors)
        for slot, value in list(_slots(holder)):
            if id(value) in successors:
                slot.__set__(holder, successors[id(value)])

    return put


def _into_restorable(holder: Any, olds: set[int]) -> Put | None:
    """Such as two of `itertools.tee`, which share what they have read."""
    if not any(id(each) in olds for each in _state(holder)):
        return None

    def put(successors: dict[int, Any]) -> None:
        state = _state(holder)
        if any(id(each) in successors for each in state):
            holder.__setstate__(tuple(successors.get(id(each), each) for each in state))

    return put


def _state(holder: Any) -> tuple[Any, ...]:
    found = _reduced(holder)
    return found[2] if len(found) > 2 and type(found[2]) is tuple else ()


def _reduced(holder: Any) -> tuple[Any, ...]:
    """Of iterators alone: to ask others may do anything."""
    if not iterators.is_pure(type(holder)):
        return ()
    try:
        found = iterators.reduced(holder)
    except TypeError:
        return ()
    return found if isinstance(found, tuple) else ()


def _parts(holder: Any) -> list[Any]:
    """What something is made of that is made anew where it cannot be changed."""
    if type(holder) in (tuple, frozenset):
        return list(holder)
    found = _reduced(holder)
    return list(found[1]) if found else []


def _made_of(holder: Any, parts: list[Any]) -> Any:
    if type(holder) in (tuple, frozenset):
        return type(holder)(parts)
    make, _, *state = _reduced(holder)
    made = make(*parts)
    if state and state[0] is not None:
        made.__setstate__(state[0])
    return made
