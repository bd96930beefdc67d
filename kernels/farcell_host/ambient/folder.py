"""The working folder, where the other side has one of that path."""

from __future__ import annotations

import os
from typing import Any

from .provider import Provider


class Folder(Provider):
    name = "working folder"

    def __init__(self, started_in: str | None = None) -> None:
        """`started_in`: where the notebook was when the target was started, which had a folder of its own choice from then on."""
        self._started_in = started_in

    def is_pristine(self, content: Any) -> bool:
        return bool(content == self._started_in)

    def take(self) -> Any:
        try:
            return os.getcwd()
        except FileNotFoundError:  # deleted under our feet
            return None

    def put(self, content: Any) -> None:
        if content is not None and os.path.isdir(content) and content != self.take():
            os.chdir(content)
