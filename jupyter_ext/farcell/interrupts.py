"""Ctrl-C while a session is at work: never an exception amid a merge, a lock that is being taken, or a wait for a run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from farcell_host import sigint


class Interrupts:
    """SIGINT inside a `with` block on the main thread, to which alone Python delivers signals; elsewhere nothing is done.

    An interrupt is kept, but where the code says `raising`, since somebody else's code runs there or a wait is to be cut short,
    or `telling`. One that was kept is raised when the handler before is back: all that the block had taken is free again then.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._told: Callable[[], None] | None = None
        self._raises = False
        self._kept = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread() and sigint.handler() is not None:
            self._before = sigint.handle_by(self._arrived)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._before is not None:
            sigint.handle_by(self._before)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt when one was kept."""
        if self._kept:
            self._kept = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """KeyboardInterrupt inside this block, once."""
        self.check()
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    @contextlib.contextmanager
    def telling(self, pressed: Callable[[], None]) -> Iterator[None]:
        """Each interrupt calls `pressed` inside this block, in the signal handler."""
        self.check()
        self._told = pressed
        try:
            yield
        finally:
            self._told = None

    def _arrived(self, signum: int, frame: FrameType | None) -> None:
        if self._raises:
            self._raises = False  # what follows is cleaning up
            raise KeyboardInterrupt
        if self._told is not None:
            self._told()
        else:
            self._kept = True
