"""The user's code that goes on when no cell runs: threads and asyncio tasks that a cell has started."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from ..threads import users

_IN_CELL: ContextVar[bool] = ContextVar("farcell_in_cell", default=False)


class Background:
    """`watch` before the first cell."""

    def __init__(self) -> None:
        self._tasks: WeakSet[asyncio.Future[Any]] = WeakSet()
        self._threads: set[threading.Thread] = set()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """What lives now is the kernel's own; so are tasks that are not made in a cell."""
        self._threads = set(threading.enumerate())
        loop.set_task_factory(self._make_task)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Future[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        if _IN_CELL.get():
            self._tasks.add(task)
        return task

    @contextlib.contextmanager
    def cell(self) -> Iterator[None]:
        """Around the user's code; a context is inherited by the tasks that are made in it."""
        token = _IN_CELL.set(True)
        try:
            yield
        finally:
            _IN_CELL.reset(token)

    @property
    def goes_on(self) -> bool:
        """Whether something may change the user's values from now on."""
        return self._has_threads() or any(not task.done() for task in self._tasks)

    def _has_threads(self) -> bool:
        if threading.active_count() <= len(self._threads) and self._threads.issuperset(threading.enumerate()):
            return False
        alive = set(threading.enumerate())
        self._threads &= alive
        return bool(users(alive - self._threads))
