"""Imports in the remote kernel that also find the notebook's own modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..state.modules import MODULES, PeersModules, is_local_file, spec_of


class NotebooksModules:
    """A finder on `sys.meta_path`, after all others: asks the notebook for a module that is not here."""

    def __init__(self, ask: Callable[[str, bool], bool]) -> None:
        self._ask = ask

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if not _is_asked_for_by_the_notebook():
            return None
        anew = target is not None or MODULES.has_seen(name)
        return spec_of(MODULES.sources[name]) if self._ask(name, anew) else None


def _is_asked_for_by_the_notebook() -> bool:
    """Whether the import stands in a cell or in a module of the notebook's own: libraries try many that nobody has."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(("importlib", "_frozen_importlib")):
        frame = frame.f_back
    return frame is not None and (frame.f_globals.get("__name__") == "__main__" or is_local_file(frame.f_code.co_filename))


def install(ask: Callable[[str, bool], bool]) -> None:
    """What the notebook has loaded comes before all that could be found here, what it could load after it."""
    sys.meta_path.insert(0, PeersModules())
    sys.meta_path.append(NotebooksModules(ask))
    MODULES.see_new()
