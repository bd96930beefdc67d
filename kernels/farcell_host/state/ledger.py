"""What one side knows of the other: the names, objects and contents that both have had since the last exchange.

It is also what reducers and rebuilders are given as `context.Environment`.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import compress
from operator import itemgetter
from types import FunctionType
from typing import Any, Literal

from .. import threads
from . import context
from .arrays import base_of, contiguous, is_array, raw
from .capture import dump_module, dump_or_refuse
from .contents import has_content
from .dumps import Memory, Part, Print, ShallowPickler, array_layout
from .enums import Met
from .errors import CannotTravel
from .fixed import is_fixed
from .functions import PrivateGlobals
from .hashing import piece_digests
from .introductions import Introductions
from .kinds import is_merged_whole, is_restorable, kind_of, made_of
from .loggers import is_list
from .magics import Magics
from .modules import MODULES, HasState, is_module_state, local_module, module_of
from .objects import Table
from .patches import PATCHES
from .payload import LARGE_BYTES, PSEUDO_NAMES, Capture
from .places import Places
from .refs import is_ref

UNKNOWN = Print(b"", (), ())


@dataclass
class Held:
    """A name as the last exchange left it."""

    print: Print
    numbers: tuple[int, ...]
    kept: bool = False
    value: Any = None
    modules: frozenset[str] = frozenset()
    """The notebook's own modules that it leads to."""


def is_beside(name: str) -> bool:
    """Whether it is a part of every exchange, and no name of the notebook's."""
    return is_module_state(name) or is_list(name)


def is_still() -> bool:
    """Whether nothing but the caller can change the notebook's values at the moment."""
    return not threads.users(threading.enumerate())


class Ledger:
    """Of one Replica. `held` are the names that both sides have; what has a number in `table` is an object that both have."""

    def __init__(self, namespace: dict[str, Any], side: Literal["local", "remote"], magics: Magics) -> None:
        self.namespace = namespace
        self.side = side
        self.magics = magics
        self.places = Places(namespace, magics)
        self.table = Table(1 if side == "local" else -1)
        self.memory = Memory()
        self.held: dict[str, Held] = {}
        self.known_sources: set[str] = set()
        self.dropped: set[int] = set()
        """Numbers that the peer is to be told of, since this side has let go of them."""
        self.forgotten: set[str] = set()
        """Names that the peer is to be told of: it has told them, and they were not installed."""
        self.pins: list[int] = []
        self.introductions = Introductions(self.table)
        self.late: list[tuple[Any, Any]] = []
        self.met: list[Met] = []
        self._weakly: dict[int, str] = {}  # of this exchange: number -> a name whose weak references lead to it
        self._private_globals: dict[int, PrivateGlobals] = {}

    # -- context.Environment: what reducers and rebuilders ask for ----------------------------------------------------

    def resolve(self, number: int) -> Any:
        try:
            return self.table.objects[number]
        except KeyError:
            raise LookupError(f"object {number} is not known here") from None

    def number_of(self, obj: object) -> int | None:
        """The number both sides know an object by."""
        return self.table.numbers.get(id(obj))

    def private_globals(self, own: dict[str, Any]) -> PrivateGlobals:
        return self._private_globals.setdefault(id(own), PrivateGlobals(own))

    # -- names --------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> frozenset[str]:
        """Those that both sides have, as of the last exchange."""
        return frozenset(name for name in self.held if not is_beside(name))

    def shared(self, names: Iterable[str]) -> set[str]:
        """Those that the peer may have changed: it has them, or has bound them on its own."""
        told = {*self.forgotten, *(name for name in self.held if name not in self.places)}
        return {name for name in names if name not in told and (name in self.held or name not in self.places)}

    def forget(self, names: Iterable[str]) -> None:
        """The peer no longer has these names: they count as never sent."""
        for name in names:
            self.forget_contents(name)
            self.release(self.held.pop(name, None))

    def leading_to(self, modules: Collection[str]) -> list[str]:
        """Names of values that have something of these modules in them."""
        return [name for name, held in self.held.items() if not held.modules.isdisjoint(modules)] if modules else []

    def let_die(self) -> None:
        """What only names reached that are gone or bound anew, and weak references lead to: it is as dead as it would be here."""
        ended = [
            name
            for name, held in self.held.items()
            if held.value is not None and self.places.get(name) is not held.value and not is_module_state(name)
        ]
        if not ended:
            return
        released = Counter(number for name in ended for number in self.held[name].numbers)
        for name in ended:
            self.held[name].value = None
        for number in self.table.unheld_without(released):
            if weakref.getweakrefcount(self.table.objects[number]):
                self.dropped.add(number)
                self.memory.forget([number])
                self.table.remove([number])

    def changed(self, capture: Capture) -> list[Part]:
        changed = []
        for part in capture.parts.values():
            held = self.held.get(part.name)
            if held is None or held.print != part.print:
                changed.append(part)
        return changed

    def is_shared(self, key: int) -> bool:
        """Whether the peer has this object, which could then not change here unseen; classes and functions are its own copies."""
        number = self.table.numbers.get(key)
        if number is None or key in self.table.kept:
            return False
        return not isinstance(self.table.objects.get(number), type | FunctionType)

    def module(self, name: str) -> HasState | None:
        own = local_module(module_of(name))
        return MODULES.see(own) if own is not None else PATCHES.of(module_of(name))

    def exists(self, name: str) -> bool:
        return self.module(name) is not None if is_module_state(name) else name in self.places

    def dump(self, name: str) -> Part:
        """A name or a module's state as it is now."""
        module = self.module(name) if is_module_state(name) else None
        if module is not None:
            return dump_module(module, self.table.kept)
        return dump_or_refuse(name, self.places[name], "", self.table.kept)

    def has_changed(self, name: str) -> bool:
        """Whether this side has something of its own to tell about a name: it must not pass for what the peer has."""
        if not self.exists(name) or self.held[name].kept:
            return False
        with context.working(self):
            try:
                part = self.dump(name)
            except CannotTravel:
                return True
        return part.print != self.held[name].print

    def has_others(self, name: str, came: dict[int, Any]) -> bool:
        """Whether the peer may have a part of a name, which it did not send along, differently."""
        numbers = self.held[name].numbers
        objects = list(map(self.table.objects.get, numbers))
        kinds = set(map(type, objects))
        if came:
            stay = [id(obj) not in came for obj in objects]
            numbers, objects = tuple(compress(numbers, stay)), list(compress(objects, stay))
        for kind in filter(has_content, kinds):
            of_kind = [type(obj) is kind for obj in objects] if len(kinds) > 1 else [True] * len(objects)
            if not self.memory.are_agreed(compress(numbers, of_kind), list(compress(objects, of_kind))):
                return True
        return False

    # -- remembering --------------------------------------------------------------------------------------------------

    def remember(self, part: Part) -> None:
        if part.name in PSEUDO_NAMES:
            return
        weak = part.print.weak
        ids = [key for key in part.print.ids if key not in weak] if weak else part.print.ids
        found: list[Any] = list(map(self.table.numbers.get, ids))
        numbers = tuple([number for number in found if number is not None] if None in found else found)
        self._weakly.update({self.table.numbers[key]: part.name for key in weak if key in self.table.numbers})
        if is_ref(part.value):
            numbers = (part.value.__farcell_number__,)
        is_held = numbers and not is_ref(part.value)
        self.hold(part.name, Held(part.print, numbers, value=part.value if is_held else None, modules=frozenset(part.modules)))
        with context.working(self):
            kinds = set(map(type, map(itemgetter(1), part.objects)))
            special = {kind for kind in kinds if not is_merged_whole(kind) and not is_fixed(kind)}
            for _, obj in part.objects if special else ():
                if type(obj) in special:
                    self._remember_object(obj, part)

    def _remember_object(self, obj: Any, part: Part) -> None:
        number = self.table.numbers.get(id(obj))
        if number is None:
            return
        if is_array(obj):
            self.memory.layouts[number] = array_layout(obj)
            if not obj.dtype.hasobject and base_of(obj) is None and obj.nbytes >= LARGE_BYTES:
                self.memory.pieces[number] = part.arrays.get(id(obj)) or piece_digests(raw(contiguous(obj)))
        elif kind_of(obj) is None and id(obj) not in self.table.kept:
            self.memory.digests[number] = ShallowPickler(self.table, obj).digest()
            if is_restorable(obj):
                self.memory.layouts[number] = ShallowPickler(self.table, made_of(obj)).digest()

    def forget_contents(self, name: str) -> None:
        """What the peer has of the objects of a name is not known for certain."""
        held = self.held.get(name)
        if held is not None:
            self.memory.forget_contents(self.table.numbers.get(key, 0) for key in held.print.ids)

    def distrust(self, name: str) -> None:
        """The peer has something else: what is here counts as changed."""
        held = self.held[name]
        self.hold(name, replace(held, print=replace(held.print, digest=b"")))

    def hold(self, name: str, held: Held) -> None:
        before = self.held.get(name)
        self.held[name] = held
        known, now = before.numbers if before is not None else (), held.numbers
        if known != now:
            self.table.hold(set(now).difference(known))
            self.table.release(set(known).difference(now))

    def release(self, held: Held | None) -> None:
        if held is not None:
            self.table.release(held.numbers)

    def drop_unheld(self) -> None:
        """Only when all names of an exchange are settled: objects move from one to another."""
        for number, name in self._weakly.items():
            if not self.table.is_held(number) and name in self.held:  # nothing else that both sides have keeps it alive
                self.hold(name, replace(self.held[name], numbers=(*self.held[name].numbers, number)))
        self._weakly.clear()
        free = self.table.take_unheld()
        self.memory.forget(free)
        self.dropped.update(free)
