"""Ctrl-C while the notebook waits for a run: a message to the remote kernel, never an exception amid the wait."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interrupts_to(pressed: Callable[[], None]) -> Iterator[None]:
    """SIGINT calls `pressed` until the end of the block; the handler before is then put back, whatever happens.

    Outside the main thread nothing is done: Python delivers signals to the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda signum, frame: pressed())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interrupts_raise() -> Iterator[None]:
    """KeyboardInterrupt again, around a question to the person."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
