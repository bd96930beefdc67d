"""Whose turn it is on a session: one thing at a time, and the others wait."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from .errors import Busy, without_frames
from .interrupts import Interrupts

INTERRUPT_CHECK_S = 0.1


class Turns:
    """`say` tells the person that a turn is waited for; `while_waiting` is called every now and then by who waits."""

    def __init__(self, target: str, say: Callable[[str], None], while_waiting: Callable[[], None] = lambda: None) -> None:
        self.interrupts = Interrupts()
        """Of the turn's owner."""
        self.queued = 0
        self._target, self._say, self._while_waiting = target, say, while_waiting
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._is_kept = False

    @property
    def is_own(self) -> bool:
        """Whether this thread has the turn."""
        return self._owner == threading.get_ident()

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Waits for the turn; Busy when this thread has it, KeyboardInterrupt for one that came meanwhile and was kept."""
        if self.is_own:
            raise Busy(f"A run on {self._target!r} is under way in this very thread; a remote cell cannot be started inside it.")
        try:
            with Interrupts() as interrupts:
                self._wait(interrupts)
                with self._owned(interrupts):
                    yield
        except KeyboardInterrupt as error:
            raise without_frames(error) from None

    def keep(self) -> None:
        """The turn is not given back at the end of the block that has it, but by a `resumed` of whoever it was kept for."""
        self._is_kept = True

    @contextlib.contextmanager
    def resumed(self) -> Iterator[None]:
        """The turn that was kept, on this thread."""
        assert self._is_kept
        self._is_kept = False
        with Interrupts() as interrupts, self._owned(interrupts):
            yield

    @contextlib.contextmanager
    def _owned(self, interrupts: Interrupts) -> Iterator[None]:
        self._owner, self.interrupts = threading.get_ident(), interrupts
        try:
            yield
        finally:
            self._owner = None
            if not self._is_kept:
                self._lock.release()

    @contextlib.contextmanager
    def if_free(self) -> Iterator[bool]:
        """Whether the turn is had inside the block; never waits."""
        is_had = self._lock.acquire(blocking=False)
        try:
            yield is_had
        finally:
            if is_had:
                self._lock.release()

    def wait_until_free(self, timeout_s: float) -> bool:
        """Whether it is within that time; somebody else may take it at once."""
        is_free = self._lock.acquire(timeout=timeout_s)
        if is_free:
            self._lock.release()
        return is_free

    def _wait(self, interrupts: Interrupts) -> None:
        if self._lock.acquire(blocking=False):
            return
        self.queued += 1
        try:
            self._say(f"Waiting for the run before this one on {self._target!r} ({self.queued} waiting).")
            # Checked in between: KeyboardInterrupt out of acquire() itself could lose the lock.
            while not self._lock.acquire(timeout=INTERRUPT_CHECK_S):
                interrupts.check()
                self._while_waiting()
        finally:
            self.queued -= 1
