"""Imports in the remote kernel that also find the notebook's own modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..state.modules import MODULES, PeersModules, spec_of


class NotebooksModules:
    """A finder on `sys.meta_path`, after all others: asks the notebook for a module that is not here."""

    def __init__(self, ask: Callable[[str, bool], bool]) -> None:
        self._ask = ask

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return spec_of(MODULES.sources[name]) if self._ask(name, target is not None) else None


def install(ask: Callable[[str, bool], bool]) -> None:
    """What the notebook has loaded comes before all that could be found here, what it could load after it."""
    sys.meta_path.insert(0, PeersModules())
    sys.meta_path.append(NotebooksModules(ask))
    MODULES.see_new()
