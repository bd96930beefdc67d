"""The digest of a file's content, computed again only when the file looks touched."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

_PIECE_BYTES = 1 << 20
_SETTLED_NS = 2_000_000_000  # a file written again within a tick of its clock would look untouched
_known: dict[tuple[int, int, int, int], str] = {}


def digest_of(path: str | os.PathLike[str], check: Callable[[], object] = lambda: None) -> str:
    """blake2b of the content, in hex; OSError when it cannot be read. `check` is called with each piece, and may raise."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        if key in _known:
            return _known[key]
        content = hashlib.blake2b(digest_size=16)
        while piece := file.read(_PIECE_BYTES):
            check()
            content.update(piece)
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        _known[key] = content.hexdigest()
    return content.hexdigest()
