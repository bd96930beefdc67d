"""Showing the error that ended a remote cell: as the target has shown it, and once.

IPython asks an exception how it wants to be shown, but neither a SyntaxError nor a group of exceptions, which it prints
itself: these would appear a second time, with the frames through which farcell raised them here.
"""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import Any

from .errors import RemoteTraceback

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Tracebacks:
    """Stands in front of a shell's `showtraceback` as long as farcell is loaded."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._show = shell.showtraceback

    def install(self) -> None:
        self._shell.showtraceback = self.show

    def uninstall(self) -> None:
        if self._shell.__dict__.get("showtraceback") == self.show:  # else somebody has come after us, and calls us
            self._shell.showtraceback = self._show

    def show(self, exc_tuple: ExcInfo | None = None, *args: Any, **kwargs: Any) -> None:
        error = exc_tuple[1] if exc_tuple is not None else sys.exc_info()[1]
        remote = getattr(error, "_render_traceback_", None)
        if error is None or not isinstance(remote, RemoteTraceback):
            self._show(exc_tuple, *args, **kwargs)
            return
        lines = remote()
        told = type(error), error, error.__traceback__
        if lines and not isinstance(error, SyntaxError):
            self._show(told, *args, **kwargs)
        else:
            self._shell._get_exc_info(told)  # sets sys.last_value and the like
            if lines:
                self._shell._showtraceback(type(error), error, lines)
        with contextlib.suppress(AttributeError):  # raised once more, by a local cell, it is shown as any other
            del error._render_traceback_  # type: ignore[attr-defined]
