"""Files of the notebook's that it sends into the working folder.

A file is written beside its place, piece by piece, and takes it when it is whole: whoever has the old one open goes on reading
that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..filedigest import digest_of


def differing(files: Iterable[dict[str, Any]]) -> list[str]:
    """Paths of those `{path, size, digest}` that are not here with this content."""
    return [file["path"] for file in files if not _is_here(file)]


def _is_here(file: dict[str, Any]) -> bool:
    path = Path(file["path"])
    try:
        return path.is_file() and path.stat().st_size == file["size"] and digest_of(path) == file["digest"]
    except OSError:
        return False


def write(piece: dict[str, Any], data: Any) -> None:
    """One piece `{path, offset, last, mode}` of a file; pieces of one file come in order."""
    path = Path(os.path.realpath(piece["path"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.farcell-part")
    try:
        with open(part, "r+b" if piece["offset"] else "wb") as file:
            file.seek(piece["offset"])
            file.write(data)
        if piece["last"]:
            part.chmod(piece["mode"])
            os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
