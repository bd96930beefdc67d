"""A lock between processes of one user, waited for without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

_PAUSE_S = 0.05


@contextlib.asynccontextmanager
async def locked(file: Path) -> AsyncIterator[int]:
    """Yields its descriptor. The file stays: who waits for it would hold another one."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_PAUSE_S)
        yield fd
    finally:
        os.close(fd)
