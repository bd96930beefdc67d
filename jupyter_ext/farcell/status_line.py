"""One line that says what is waited for and for how long; it shows after a second, and vanishes at the end of the wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

SHOW_AFTER_S = 1.0
TICK_S = 1.0


class StatusLine:
    """In a `with` block. `wait(ready)` calls `ready(timeout_s)` until it gives True, and keeps the line up to date meanwhile."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bar: Any = None
        self._began = time.monotonic()

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def wait(self, ready: Callable[[float], bool], timeout_s: float | None = None) -> bool:
        """Whether it was ready within `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not ready(TICK_S if deadline is None else max(0.0, min(TICK_S, deadline - time.monotonic()))):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._show()
        return True

    def _show(self) -> None:
        if threading.current_thread() is not threading.main_thread() or time.monotonic() - self._began < SHOW_AFTER_S:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=None, bar_format="farcell: {desc} {elapsed}", desc=self._text, leave=False)
            self._bar.start_t = time.time() - (time.monotonic() - self._began)
        self._bar.refresh()
