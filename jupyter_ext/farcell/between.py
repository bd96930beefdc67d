"""Work for the kernel's main thread when no cell is running: what a detached run brings back is merged then, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class BetweenCells:
    """`work` is called again and again, whenever there may be something to do. In a notebook that is as soon as no cell runs;
    elsewhere (a terminal, a plain program) at the beginning of the next cell, or when somebody waits."""

    def __init__(self, shell: InteractiveShell | None, work: Callable[[], None]) -> None:
        self._shell = shell
        self._work = work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_installed = False
        self._depth = 0

    def install(self) -> None:
        """In a cell, on the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()  # ipykernel's, which runs the cells
        if self._shell is not None and not self._is_installed:
            self._is_installed = True
            self._depth = 1
            self._shell.events.register("pre_execute", self._begin)
            self._shell.events.register("post_execute", self._end)

    def soon(self) -> None:
        """From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._try)

    def _begin(self) -> None:
        self._depth += 1

    def _end(self) -> None:
        self._depth = max(0, self._depth - 1)
        self.soon()

    def _try(self) -> None:
        if not self._depth:  # a cell that awaits turns the loop too
            self._work()
