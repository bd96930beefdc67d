"""One line of farcell's own in the output of a cell that waits: it shows after a second, keeps up to date, and vanishes.

In a notebook it is a display that is emptied at the end, in a terminal a line that is written over; elsewhere it stays away.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

from farcell_host.protocol.messages import Channel, Message

from ..threads import loop_thread
from .notebook import Notebook

SHOW_AFTER_S = 1.0
TICK_S = 0.5


class Line:
    """In a `with` block, or from `begin` to `end`. `text()` is asked on the connection thread; None ends the line."""

    def __init__(self, notebook: Notebook, text: Callable[[float], str | None], header: dict[str, Any] | None = None) -> None:
        """`text` gets the seconds since the beginning; `header` is the cell's, which its own thread alone can ask for."""
        self._notebook, self._text = notebook, text
        self._header = notebook.cell_header() if header is None else header
        self._display_id = f"farcell-line-{uuid.uuid4().hex}"
        self._began = time.monotonic()
        self._is_shown = self._is_over = False
        self._lock = threading.Lock()

    def begin(self) -> Line:
        self._later(SHOW_AFTER_S)
        return self

    def end(self) -> None:
        """From any thread."""
        with self._lock:
            self._is_over = True
            if self._is_shown:
                self._is_shown = False
                self._put("")

    def __enter__(self) -> Line:
        return self.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()

    def _later(self, seconds: float) -> None:
        loop = loop_thread().loop
        loop.call_soon_threadsafe(loop.call_later, seconds, self._tick)

    def _tick(self) -> None:
        text = None if self._is_over else self._text(time.monotonic() - self._began)
        if text is None:
            self.end()
            return
        with self._lock:
            if self._is_over:
                return
            self._put(f"farcell: {text}")
            self._is_shown = True
        loop_thread().loop.call_later(TICK_S, self._tick)

    def _put(self, text: str) -> None:
        if self._notebook.frames is not None:
            data: dict[str, Any] = {"text/plain": text} if text else {}
            content = {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}
            kind = "update_display_data" if self._is_shown or not text else "display_data"
            self._notebook.frames.publish(Message.build(Channel.IOPUB, kind, content, parent=self._header))
        elif sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()


def waiting(text: str) -> Callable[[float], str]:
    """For a wait whose end nobody knows."""
    return lambda seconds: f"{text} ({seconds:.0f} s)"


def transfer(text: str, progress: Callable[[], tuple[int, int] | None]) -> Callable[[float], str | None]:
    """For bytes on their way: `progress` gives those that are there and all of them, or None at the end."""

    def line(seconds: float) -> str | None:
        from tqdm.std import tqdm

        now = progress()
        if now is None:
            return None
        bar: str = tqdm.format_meter(*now, seconds, prefix=text, unit="B", unit_scale=True, ncols=88)
        return bar

    return line
