"""Work on large memory shared by two threads: for loops over calls that release the GIL (hashing, copying)."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


@lru_cache(1)
def _pool(process_id: int) -> ThreadPoolExecutor:  # a forked child has none of its parent's threads
    return ThreadPoolExecutor(1, thread_name_prefix="farcell-memory")


def in_halves(work: Callable[[range], T], whole: range) -> tuple[T, T]:
    """`work` for both halves of a range at once, the second one on another thread."""
    middle = len(whole) // 2
    other = _pool(os.getpid()).submit(work, whole[middle:])
    return work(whole[:middle]), other.result()
