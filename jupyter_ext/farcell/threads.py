"""The connection thread, and how a thread that waits is woken."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import os
import select
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """The thread and its loop; started at first use, anew in a forked child."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="farcell-connections", daemon=True)
        self.thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)


_loop_thread: LoopThread | None = None
_start_lock = threading.Lock()


def loop_thread() -> LoopThread:
    """The process's one connection thread."""
    global _loop_thread
    with _start_lock:
        if _loop_thread is None or _loop_thread.pid != os.getpid():
            _loop_thread = LoopThread()
        return _loop_thread


class Alarm:
    """Ends a `wait` of one thread from another one or from a signal handler."""

    def __init__(self) -> None:
        self._ringing, self._hearing = socket.socketpair()
        self._ringing.setblocking(False)
        self._hearing.setblocking(False)

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it rings already
            self._ringing.send(b"\0")

    def close(self) -> None:
        self._ringing.close()
        self._hearing.close()

    def wait(self, reading: int | None, timeout_s: float | None) -> list[int]:
        """Until it rings, `reading` can be read, or the time is up; what of the two it was. Not after `close`."""
        poll = select.poll()
        poll.register(self._hearing, select.POLLIN)
        if reading is not None:
            poll.register(reading, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if timeout_s is None else math.ceil(timeout_s * 1000))]
        if self._hearing.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                self._hearing.recv(4096)
        return ready
