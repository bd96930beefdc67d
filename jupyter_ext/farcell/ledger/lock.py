"""A lock between processes, which ends with the process that holds it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STEP_S = 0.02


@contextmanager
def file_lock(lock: Path, timeout_s: float) -> Iterator[None]:
    """Holds the lock; raises TimeoutError when another process or thread holds it for so long, OSError when there can be none.

    The file stays: to remove it would let two processes hold "the" lock, each on a file of its own.
    """
    import fcntl  # not on Windows, where farcell is only imported

    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # flock(2) has no time-out, and an alarm would be the notebook's: asked again in short steps.
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"{lock} is held") from None
                time.sleep(STEP_S)
        yield
    finally:
        os.close(handle)  # gives up the lock too
