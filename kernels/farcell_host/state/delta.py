"""What came from the peer, decoded but not yet applied; and applying it: everything or nothing."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import sigint
from . import ownways
from .arrays import base_of, is_array
from .enums import Met
from .errors import CannotRestore
from .kinds import kind_of
from .merges import Merge, Undo, last_step, merge
from .modules import ModuleContent
from .payload import PSEUDO_NAMES
from .places import Places
from .refs import RefInfo
from .replacements import Replacements

State = tuple[Any, str, Any]
log = logging.getLogger(__name__)


@dataclass
class Component:
    """What one stream brought: it is merged whole or not at all."""

    names: list[str]
    states: list[State]
    objects: list[tuple[int, Any]]
    replaced: list[tuple[Any, Any]] = field(default_factory=list)
    late: list[State] = field(default_factory=list)


@dataclass
class Delta:
    """One payload, decoded."""

    values: dict[str, Any] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    """(existing object, kind, new content)."""
    objects: list[tuple[int, Any]] = field(default_factory=list)
    """(number, new object)."""
    replaced: list[tuple[Any, Any]] = field(default_factory=list)
    """(existing object, its successor), where the existing one cannot be changed in place."""
    refs: dict[str, RefInfo] = field(default_factory=dict)
    bind: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    unneeded: list[int] = field(default_factory=list)
    """Numbers of modules that could be imported here."""

    pins: list[int] | None = None
    """Numbers of kept objects that live as long as the peer's refs do; None when they are those told before."""

    taken_back: set[int] = field(default_factory=set)
    """Numbers that this side was about to give up, and the peer still uses."""

    late: list[State] = field(default_factory=list)
    """Of new objects: what is put into them when all names are bound."""

    met: list[Met] = field(default_factory=list)
    """Combined flags that were made with it, and are not known to their classes before it is merged."""

    components: list[Component] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What keeps an object that was replaced, when the delta has been applied."""

    def add(self, component: Component, values: dict[str, Any]) -> None:
        self.components.append(component)
        self.states += component.states
        self.objects += component.objects
        self.replaced += component.replaced
        self.late += component.late
        self.values.update(values)

    @property
    def names(self) -> set[str]:
        """That are bound or deleted."""
        return {*self.values, *self.refs, *self.bind, *self.deleted} - PSEUDO_NAMES

    def set_aside(self, components: list[Component], names: set[str]) -> Delta:
        """Take these components and names out, but for a result and an error; the answer holds them."""
        aside = Delta()
        taken = {id(component) for component in components}
        kept = [component for component in self.components if id(component) not in taken]
        self.components, self.states, self.objects, self.replaced, self.late = [], [], [], [], []
        for component in kept:
            self.add(component, {})
        for component in components:
            aside.add(component, {})
        for name in {*names, *(name for component in components for name in component.names)} - PSEUDO_NAMES:
            for room in ("values", "refs", "bind"):
                if name in getattr(self, room):
                    getattr(aside, room)[name] = getattr(self, room).pop(name)
            if name in self.deleted:
                self.deleted.remove(name)
                aside.deleted.append(name)
        return aside

    def validate(self) -> None:
        """Raise CannotRestore where a state does not fit the object it is meant for."""
        for obj, kind, content in self.states:
            if kind_of(obj) != (None if kind == "restorable" else kind) and not ownways.may_go_whole(type(obj)):
                raise CannotRestore(list(self.values), f"a {kind} came for a {type(obj).__name__}")
            if kind == "array" and not _fits(obj, content):
                raise CannotRestore(list(self.values), "an array changed its layout on this side meanwhile")
            if kind == "objects" and (not is_array(obj) or obj.shape != content[0]):
                raise CannotRestore(list(self.values), "an array changed its shape on this side meanwhile")


def _fits(array: Any, content: Any) -> bool:
    size = array.nbytes if base_of(array) is None else 0
    return all(offset + memoryview(piece).nbytes <= size for offset, piece in content[1])


def merge_steps(delta: Delta, places: Places, bindings: dict[str, Any]) -> list[Merge]:
    steps = [merge(kind, obj, content) for obj, kind, content in delta.states]
    if delta.replaced:  # first: a merge keeps copies of what was, for its undo
        replacements = Replacements(delta.replaced, places.namespace)
        delta.left = replacements.left
        steps.insert(0, replace_step(replacements))
    for name, value in bindings.items():
        steps.append(value.merge() if isinstance(value, ModuleContent) else bind_step(places, name, value))
    steps += [delete_step(places, name) for name in delta.deleted]
    steps += [merge(kind, obj, content) for obj, kind, content in delta.late]
    return steps


def fill_steps(delta: Delta) -> list[Callable[[], None]]:
    """What cannot fail, and is done when all else has been: large memory is copied once, with no copy of what was there."""
    found = (last_step(kind, obj, content) for obj, kind, content in delta.states)
    return [step for step in found if step is not None]


def replace_step(replacements: Replacements) -> Merge:
    yield replacements.take_back
    replacements.put()


def bind_step(places: Places, name: str, value: Any) -> Merge:
    yield places.restorer(name)
    places.bind(name, value)


def delete_step(places: Places, name: str) -> Merge:
    yield places.restorer(name)
    places.unbind(name)


def carry_out(steps: Iterable[Merge], last: Iterable[Callable[[], None]] = ()) -> None:
    """Take all steps, SIGINT held back; when one fails, undo it and those before it and raise. `last` cannot fail."""
    undos: list[Undo] = []
    with interrupts_deferred():
        try:
            for step in steps:
                undos.append(next(step))
                next(step, None)
        except BaseException:
            for undo in reversed(undos):
                try:
                    undo()
                except Exception:  # the notebook's own __setstate__; the others are to be undone all the same
                    log.exception("a merge could not be undone")
            raise
        for fill in last:
            fill()


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """KeyboardInterrupt waits until the block is over. Signals reach the main thread only, so elsewhere there is
    nothing to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = sigint.handler()
    if before is None:
        yield
        return
    sigint.handle_by(lambda number, frame: arrived.append(number))
    try:
        yield
    finally:
        sigint.handle_by(before)
        if arrived:
            signal.raise_signal(signal.SIGINT)
