"""Where this package runs from."""

from __future__ import annotations

from pathlib import Path


def own_archive() -> str | None:
    """The zipapp (`bundle.py`); None where the package is a folder."""
    found = getattr(globals().get("__loader__"), "archive", None)
    return None if found is None else str(Path(found).resolve())
