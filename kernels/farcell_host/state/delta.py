"""What came from the peer, decoded but not yet applied; and applying it: everything or nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .arrays import is_array, owner
from .errors import CannotRestore
from .kinds import Undo, fill_array, kind_of, merge
from .refs import RefInfo

Step = Callable[[], Undo]


@dataclass
class Delta:
    """One payload, decoded."""

    values: dict[str, Any] = field(default_factory=dict)
    states: list[tuple[Any, str, Any]] = field(default_factory=list)
    """(existing object, kind, new content)."""
    objects: list[tuple[int, Any]] = field(default_factory=list)
    """(number, new object)."""
    refs: dict[str, RefInfo] = field(default_factory=dict)
    bind: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    unneeded: list[int] = field(default_factory=list)
    """Numbers of modules that could be imported here."""

    taken_back: set[int] = field(default_factory=set)
    """Numbers that this side was about to give up, and the peer still uses."""

    def validate(self) -> None:
        """Raise CannotRestore where a state does not fit the object it is meant for."""
        for obj, kind, content in self.states:
            if kind_of(obj) != (None if kind == "restorable" else kind):
                raise CannotRestore(list(self.values), f"a {kind} came for a {type(obj).__name__}")
            if kind == "array" and not _fits(obj, content):
                raise CannotRestore(list(self.values), "an array changed its layout on this side meanwhile")
            if kind == "objects" and (not is_array(obj) or obj.shape != content[0]):
                raise CannotRestore(list(self.values), "an array changed its shape on this side meanwhile")


def _fits(array: Any, content: Any) -> bool:
    size = array.nbytes if owner(array) is array else 0
    return all(offset + memoryview(piece).nbytes <= size for offset, piece in content[1])


def state_steps(delta: Delta) -> list[Step]:
    return [_merge_step(obj, kind, content) for obj, kind, content in delta.states]


def fill_steps(delta: Delta) -> list[Callable[[], None]]:
    """What cannot fail, and is done when all else has been: large memory is copied once, with no copy of what was there."""
    return [partial(fill_array, obj, content) for obj, kind, content in delta.states if kind == "array"]


def _merge_step(obj: Any, kind: str, content: Any) -> Step:
    return lambda: merge(kind, obj, content)


_ABSENT = object()


def bind_step(namespace: dict[str, Any], name: str, value: Any) -> Step:
    def bind() -> Undo:
        old = dict.get(namespace, name, _ABSENT)
        namespace[name] = value
        return lambda: _put_back(namespace, name, old)

    return bind


def delete_step(namespace: dict[str, Any], name: str) -> Step:
    def delete() -> Undo:
        old = dict.pop(namespace, name, _ABSENT)
        return lambda: _put_back(namespace, name, old)

    return delete


def _put_back(namespace: dict[str, Any], name: str, old: Any) -> None:
    if old is _ABSENT:
        dict.pop(namespace, name, None)
    else:
        namespace[name] = old


def carry_out(steps: list[Step], last: Iterable[Callable[[], None]] = ()) -> None:
    """Take all steps, SIGINT held back; when one fails, undo those before it and raise. `last` are steps that cannot fail."""
    undos: list[Undo] = []
    with interrupts_deferred():
        try:
            for step in steps:
                undos.append(step())
        except BaseException:
            for undo in reversed(undos):
                undo()
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
    before = signal.getsignal(signal.SIGINT)
    if before is None:  # a handler that was not installed from Python cannot be put back
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if arrived:
            signal.raise_signal(signal.SIGINT)
