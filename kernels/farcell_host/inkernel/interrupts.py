"""SIGINT in the remote kernel: never in the middle of a frame, a merge or a reply.

The main thread holds the guard wherever it must not be cut short; a signal that comes then is kept and delivered when
the guard is released. Delivered means KeyboardInterrupt, or, while an async cell merely waits, the end of its task:
an exception raised from the event loop's own frames would end the kernel. ipykernel's handler cancels the task by a
plain callback, which does not wake a loop that sleeps; `call_soon_threadsafe` does.

A signal may also come before the run that it is meant for has begun, its request being on the way: ipykernel ignores SIGINT
then, and the run would go on as if nothing had been said. It is noted, and the next run asks whether it was the one.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any

from .. import sigint


class InterruptGuard:
    """`with guard:` defers SIGINT on the main thread; on other threads, which get no signals, it does nothing."""

    def __init__(self, cell_code: CodeType, interrupted: Callable[[], str | None] = lambda: None) -> None:
        """`interrupted` tells the run that was interrupted last."""
        self._cell_code = cell_code
        self._interrupted = interrupted
        self._came_early = False
        self._depth = 0
        self._pending = False
        self.arrivals = 0
        """Interrupts during the request that is being served, kept or delivered."""
        self._task: asyncio.Future[Any] | None = None
        self._main = threading.main_thread()

    def __enter__(self) -> None:
        if threading.current_thread() is self._main:
            self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if threading.current_thread() is self._main:
            self._depth -= 1
            if self._pending and not self._depth:
                self._deliver(sys._getframe(1))

    def listen(self) -> None:
        """Takes note of SIGINT between requests, in the place of ipykernel's handler, which ignores it."""
        sigint.handle_by(self._on_early_sigint)

    @contextmanager
    def serving(self, run: str | None = None) -> Iterator[None]:
        """Handles SIGINT inside the block and holds the guard there; what is kept and not taken is forgotten at its end.

        The old handler, which raises nothing, is back before the guard is released: nothing may be raised into the event loop.
        """
        self._pending = False
        self.arrivals = 0
        self._depth += 1
        before = sigint.handle_by(self._on_sigint)
        if run is not None and self._came_early:
            self._came_early = False
            if self._interrupted() == run:
                self._pending = True
                self.arrivals += 1
        try:
            yield
        finally:
            sigint.handle_by(before)
            self._depth -= 1
            self._pending = False

    @contextmanager
    def released(self) -> Iterator[None]:
        """Lets interrupts through inside a block that holds the guard; raises KeyboardInterrupt when one was kept."""
        depth, self._depth = self._depth, 0
        try:
            if self._pending:
                self._deliver(sys._getframe(0))
            yield
        finally:
            self._depth = depth

    @contextmanager
    def cancelling(self, task: asyncio.Future[Any]) -> Iterator[None]:
        """While the loop waits for `task`, an interrupt cancels it."""
        self._task = task
        try:
            yield
        finally:
            self._task = None

    @property
    def is_pending(self) -> bool:
        """Whether an interrupt is kept."""
        return self._pending

    def take_pending(self) -> bool:
        """Whether an interrupt was kept; it is then no longer."""
        pending, self._pending = self._pending, False
        return pending

    def _on_early_sigint(self, signum: int, frame: FrameType | None) -> None:
        self._came_early = True

    def _on_sigint(self, signum: int, frame: FrameType | None) -> None:
        self.arrivals += 1
        if self._depth:
            self._pending = True
        else:
            self._deliver(frame)

    def _deliver(self, frame: FrameType | None) -> None:
        self._pending = False
        if self._task is not None and not self._is_in_cell(frame):
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            return
        raise KeyboardInterrupt

    def _is_in_cell(self, frame: FrameType | None) -> bool:
        """Whether the cell's own code is on the stack, where IPython catches what is raised."""
        while frame is not None:
            if frame.f_code is self._cell_code:
                return True
            frame = frame.f_back
        return False


def cut_handler(error: BaseException | None) -> None:
    """Takes our signal handler off the end of an error's traceback, and of those behind it: Python's own, which is not written in
    Python, has no frame there."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        entry = error.__traceback__
        while entry is not None:
            if entry.tb_next is not None and entry.tb_next.tb_frame.f_code is InterruptGuard._on_sigint.__code__:
                entry.tb_next = None
            entry = entry.tb_next
        error = error.__cause__ or error.__context__
