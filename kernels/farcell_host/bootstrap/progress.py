"""What is being done, as one JSON line each time, and what an installer's own lines say of it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .faults import NobodyListens

_PACKAGE = re.compile(r"(?:Collecting|Processing|Requirement already satisfied:) (\S+)")  # pip
_NAME = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9]")
_DOWNLOAD = re.compile(r"\s*Downloading (\S+)(.*)")  # pip and uv
_INSTALLING = re.compile(r"Installing collected packages: (.*)")  # pip
_COUNTED = re.compile(r"(Resolved|Prepared|Installed) (\d+) packages?")  # uv
_UV_WORDS = {"Resolved": "fetching", "Prepared": "installing", "Installed": "installed"}


class Teller:
    """Prints JSON lines, each behind `mark`, which tells them from what else is on stdout."""

    def __init__(self, mark: str = "") -> None:
        self._start = f"{mark} environment " if mark else ""

    def __call__(self, fields: Mapping[str, Any]) -> None:
        """Raises NobodyListens."""
        try:
            sys.stdout.write(f"{self._start}{json.dumps(fields)}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
            raise NobodyListens from None

    def doing(self, text: str, done: int | None = None, total: int | None = None) -> None:
        self({"doing": text, "done": done, "total": total})


class Reading:
    """Reads an installer's lines: `text` says what goes on, `done` of `total` packages are there by now where that is known."""

    def __init__(self, text: str, count: Callable[[], int] | None = None) -> None:
        """`count` tells how many packages are where they are installed; pip says nothing while it puts them there."""
        self.text = text
        self.done: int | None = None
        self.total: int | None = None
        self._count = count

    def see(self, line: str) -> bool:
        """Whether something else goes on by now; an empty line is that time has passed."""
        before = (self.text, self.done)
        self._see(line)
        if self.total is not None and self._count is not None:
            self.done = min(self._count(), self.total)
        return (self.text, self.done) != before

    def _see(self, line: str) -> None:
        if package := _PACKAGE.match(line):
            name = _NAME.match(os.path.basename(package[1]).partition("-")[0] if "/" in package[1] else package[1])
            self.text = f"collecting {name[0] if name else package[1]}"
        elif download := _DOWNLOAD.match(line):
            self.text = f"downloading {os.path.basename(download[1])}{download[2]}"
        elif installing := _INSTALLING.match(line):
            names = installing[1].split(", ")
            self.text = f"installing {len(names)} packages"
            self.total = len(names) if self._count is not None else None
        elif counted := _COUNTED.match(line):
            self.text = f"{_UV_WORDS[counted[1]]} {counted[2]} packages"
