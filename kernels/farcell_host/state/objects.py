"""Objects whose identity matters, and their numbers.

A number means the same object on both sides. Local numbers are positive, remote ones negative, so that both sides
may number without asking.
The table holds its objects, so an id in it never means another object.

Out of a pickler's memo, identity matters for what can change or be compared with `is`: containers, tuples, instances,
arrays, cells, notebook functions
and classes. Temporaries that some `__reduce__` made for the dump have no other holder than the memo and each other,
which their reference counts tell.
"""

from __future__ import annotations

import builtins
import datetime
import decimal
import enum
import fractions
import functools
import gc
import io
import pathlib
import pickle
import sys
import types
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from operator import itemgetter
from typing import Any

from . import tensors
from .arrays import is_array, is_record, numpy
from .descriptors import is_bound
from .fixed import ATOMS, is_fixed
from .frames import is_structure
from .functions import Globals, ModuleGlobals
from .magics import OfExtension, is_shell
from .modules import ModuleState
from .refs import RefBase, is_ref
from .replacements import Spared

_VALUES = (
    str, bytes, int, float, complex, types.CodeType, types.MappingProxyType, enum.Enum, datetime.date,
    datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction, pathlib.PurePath, uuid.UUID,
    Globals, ModuleGlobals, ModuleState, OfExtension, RefBase, pickle.PickleBuffer, type(None),
)  # fmt: skip
_OBJECT = itemgetter(1)  # of (memo index, object)
_NO, _YES, _BY_VALUE, _IF_BOUND = range(4)
_REFS_OF_A_TABLE = 2  # its entry, and the argument of getrefcount


@functools.lru_cache(4096)
def _relevance(kind: type) -> int:
    if kind is types.BuiltinFunctionType:
        return _IF_BOUND
    if is_fixed(kind):
        return _YES
    if issubclass(kind, (type, types.FunctionType, types.ModuleType)):
        return _BY_VALUE
    np = numpy()
    if np is not None and issubclass(kind, (np.generic, np.dtype)):
        return _YES if is_record(kind) else _NO
    return _NO if issubclass(kind, _VALUES) or is_structure(kind) or is_shell(kind) or kind.__module__ == "typing" else _YES


def is_of_value(kind: type) -> bool:
    """Whether objects of this type are never numbered: which of several equal ones it is does not matter."""
    return _relevance(kind) == _NO


def _count(entry: tuple[int, Any]) -> int:
    return sys.getrefcount(entry[1])


def _counts(entries: dict[int, tuple[int, Any]]) -> Iterator[int]:
    """Of all of them, without a call in Python for each."""
    return map(sys.getrefcount, map(_OBJECT, entries.values()))


class _Probe:
    def __reduce__(self) -> tuple[Any, ...]:
        return _Probe, (), [[]]


def _baselines() -> tuple[int, int]:
    """The reference count of an object held by a memo alone, as both ways of asking tell it: measured, since it depends on the
    interpreter."""
    pickler = pickle.Pickler(io.BytesIO(), 5)
    pickler.dump(_Probe())
    entries = pickler.memo.copy()
    lists = [type(entry[1]) is list for entry in entries.values()]
    return min(map(_count, compress(entries.values(), lists))), min(compress(_counts(entries), lists))


_HELD_BY_MEMO, _HELD_AT_ONCE = _baselines()


def relevant(entries: dict[int, tuple[int, Any]], by_value: set[int]) -> list[tuple[int, Any]]:
    """(memo index, object) of the objects in a memo's copy whose identity matters, in order of the index."""
    kinds: set[Any] = set(map(type, map(_OBJECT, entries.values())))
    if not kinds.isdisjoint(ATOMS):
        entries = {key: entry for key, entry in entries.items() if type(entry[1]) not in ATOMS}  # most are strings
        kinds -= ATOMS
    dropped = _temporaries(entries)
    if tensors.torch() is not None:
        dropped = {key for key in dropped if not (is_array(entries[key][1]) and tensors.shows_storage(entries[key][1]))}
    relevance = {kind: _relevance(kind) for kind in kinds}
    if not dropped and set(relevance.values()) == {_YES}:
        found = list(entries.values())
    else:
        found = [
            entry
            for key, entry in entries.items()
            if (matters := relevance[type(entry[1])]) != _NO
            and key not in dropped
            and (matters == _YES or (key in by_value if matters == _BY_VALUE else is_bound(entry[1])))
        ]
    found.sort(key=itemgetter(0))
    with_dict = {kind for kind in relevance if kind.__dictoffset__ and not _makes_dict_when_asked(kind)}
    parts = {id(_own_dict(obj)) for _, obj in found if type(obj) in with_dict} if with_dict else set()
    return [entry for entry in found if id(entry[1]) not in parts] if parts else found


def _temporaries(entries: dict[int, tuple[int, Any]]) -> set[int]:
    waiting = list(compress(entries, map(_HELD_AT_ONCE.__ge__, _counts(entries))))
    found = set(waiting)
    counts: dict[int, int] = {}
    while waiting:
        for key in [key for key in map(id, gc.get_referents(entries[waiting.pop()][1])) if key in entries]:
            if key in found:
                continue
            counts[key] = counts.get(key, _count(entries[key])) - 1
            if counts[key] <= _HELD_BY_MEMO:
                found.add(key)
                waiting.append(key)
    return found


_MAKE_DICT = frozenset(sys.builtin_module_names) - {"builtins"}


@functools.lru_cache(4096)
def _makes_dict_when_asked(kind: type) -> bool:
    """Whether its `__dict__` is C's own and made when somebody looks: its objects pickle differently from then on (io.StringIO),
    or even behave so (functools.partial)."""
    origin = next((base for base in reversed(kind.__mro__) if base.__dictoffset__), kind)
    return origin.__module__ in _MAKE_DICT or origin in (functools.partial, list, dict, set, bytearray)


def _own_dict(obj: Any) -> dict[str, Any] | None:
    """The `__dict__` of an instance: a part of it, not an object of its own."""
    if issubclass(type(obj), type):
        return None
    try:
        attributes = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return None
    return attributes if isinstance(attributes, dict) else None


BUILTINS = 0
"""The number, on both sides, of the dict of the builtins: `exec` puts it into each dict that it runs code in."""


class Table:
    """Number <-> object."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._last = 0
        self.objects: dict[int, Any] = Spared({BUILTINS: vars(builtins)})
        self.numbers: dict[int, int] = {id(vars(builtins)): BUILTINS}
        self.kept: dict[int, int] = {}
        """id -> number of objects that the peer knows as refs only."""
        self.pins: frozenset[int] = frozenset()
        """Numbers of kept objects whose refs the peer still holds, by a name or not."""
        self._refs: set[int] = set()
        self._holders: Counter[int] = Counter()
        self._released: set[int] = set()
        self._leaving: set[int] = set()

    def new_number(self) -> int:
        self._last += 1
        return self._sign * self._last

    def add(self, number: int, obj: Any) -> None:
        """Number an object; a number it had before stays valid for reading only."""
        self.objects[number] = obj
        self.numbers[id(obj)] = number
        if is_ref(obj):
            self._refs.add(number)

    def remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._forget(number, self.objects.pop(number, None))
            self._leaving.discard(number)

    def hold(self, numbers: Iterable[int]) -> None:
        """A name reaches these."""
        self._holders.update(numbers)

    def release(self, numbers: Iterable[int]) -> None:
        """Undo a `hold`."""
        self._holders.subtract(numbers)
        self._released.update(numbers)

    def watch(self, number: int) -> None:
        """No name reaches it, but maybe something else does: it is looked at whenever names are released."""
        self._released.add(number)

    def is_held(self, number: int) -> bool:
        """Whether a name reaches it."""
        return self._holders[number] > 0

    def take_unheld(self) -> list[int]:
        """Forget what was released and nothing holds any more; the peer may use the numbers until it is told them."""
        known = (self._released - self._leaving) & self.objects.keys()
        unheld = [number for number in known if self._holders[number] <= 0]
        free = [number for number in unheld if not self._is_in_use(number)]
        self._released = set(unheld).difference(free)
        for number in free:
            self._forget(number, self.objects[number])
        self._leaving.update(free)
        return free

    def _is_in_use(self, number: int) -> bool:
        return number in self.pins or (is_ref(self.objects[number]) and self._other_holders(number) > 0)

    def _other_holders(self, number: int) -> int:
        """How many there are of an object, beside this table."""
        return sys.getrefcount(self.objects[number]) - _REFS_OF_A_TABLE

    def refs_in_use(self, namespace: Mapping[str, Any]) -> list[int]:
        """Numbers of refs that something else than a name holds: a list, `Out`. Their values must live as long as they do."""
        if not self._refs:
            return []
        self._refs &= self.objects.keys()
        known = {id(self.objects[number]) for number in self._refs}
        names = Counter(filter(known.__contains__, map(id, list(namespace.values()))))
        return [number for number in sorted(self._refs) if self._other_holders(number) > names[id(self.objects[number])]]

    def objects_of(self, numbers: Iterable[int]) -> list[Any]:
        """Those of them that are known."""
        return [self.objects[number] for number in numbers if number in self.objects]

    def unheld_without(self, released: Mapping[int, int]) -> set[int]:
        """What nothing would hold any more after so many releases of these numbers."""
        known = (released.keys() - self._leaving) & self.objects.keys()
        return {number for number in known if self._holders[number] <= released[number] and not self._is_in_use(number)}

    def take_back(self, number: int) -> None:
        """The peer names an object that was about to leave."""
        self._leaving.discard(number)
        self.numbers.setdefault(id(self.objects[number]), number)
        self._released.add(number)

    def is_leaving(self, number: int) -> bool:
        return number in self._leaving

    def _forget(self, number: int, obj: Any) -> None:
        self._holders.pop(number, None)
        if self.numbers.get(id(obj)) == number:
            del self.numbers[id(obj)]
            self.kept.pop(id(obj), None)
