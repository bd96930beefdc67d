"""Text as a terminal would show it, kept to its last lines."""

from __future__ import annotations

import re
import threading
from collections import deque

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class Tail:
    """The last `lines` lines of what is written, without colours; a carriage return writes over its line. From any thread."""

    def __init__(self, lines: int = 1000) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._line, self._at = "", 0
        self._lock = threading.Lock()
        self.dropped = 0

    def write(self, text: str) -> None:
        text = _ANSI.sub("", text)
        with self._lock:
            *whole, last = text.split("\n")
            for line in whole:
                self._over(line)
                self.dropped += len(self._lines) == self._lines.maxlen
                self._lines.append(self._line)
                self._line, self._at = "", 0
            self._over(last)

    def _over(self, text: str) -> None:
        for number, piece in enumerate(text.split("\r")):
            self._at = 0 if number else self._at
            end = self._at + len(piece)
            self._line = self._line[: self._at] + piece + self._line[end:]
            self._at = end

    def last(self, lines: int | None = None) -> list[str]:
        """Without an empty line at the end."""
        with self._lock:
            found = [*self._lines, self._line] if self._line else [*self._lines]
        return found if lines is None else found[-lines:]
