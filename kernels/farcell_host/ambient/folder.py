"""The working folder, where the other side has one of that path."""

from __future__ import annotations

import ctypes
import os
from functools import partial
from typing import Any

from .provider import Provider
from .watch import Watch

_buffer = ctypes.create_string_buffer(4096)
# os.getcwd() releases the GIL, which the threads that publish a cell's beginning then hold for longer than the rest of a look
# at all this state takes.
_getcwd = getattr(ctypes.PyDLL(None), "getcwd", None)
if _getcwd is not None:
    _getcwd.restype, _getcwd.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_size_t)


def working_folder() -> str:
    """As os.getcwd."""
    found = _getcwd(_buffer, len(_buffer)) if _getcwd is not None else None
    return os.fsdecode(found) if found is not None else os.getcwd()


class Folder(Provider):
    name = "working folder"

    def __init__(self, started_in: str | None = None) -> None:
        """`started_in`: where the notebook was when the target was started, which had a folder of its own choice from then on."""
        self._started_in = started_in

    def watch(self) -> Watch:
        """The path as bytes; None once the folder has been deleted."""
        return Watch(partial(_getcwd, _buffer, len(_buffer)) if _getcwd is not None else self.stamp)

    def is_pristine(self, content: Any) -> bool:
        return bool(content == self._started_in)

    def take(self) -> Any:
        try:
            return working_folder()
        except FileNotFoundError:  # deleted under our feet
            return None

    def put(self, content: Any) -> None:
        if content is not None and os.path.isdir(content) and content != self.take():
            os.chdir(content)
