"""Fingerprints of bytes: fast, not cryptographic, compared only with this side's own history.

Large buffers are hashed in pieces of 1 MiB, so that a change inside one costs one piece on the wire. Raw memory is hashed in
place; two threads share the work from 8 MiB on, since xxhash and hashlib both release the GIL.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

PIECE_BYTES = 1 << 20
_PARALLEL_BYTES = 8 << 20
_WORKERS = 2


def _blake2b(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _best() -> tuple[str, Callable[[Any], bytes]]:
    try:
        import xxhash
    except ImportError:
        return "blake2b", _blake2b
    return "xxh3", xxhash.xxh3_128_digest


ALGORITHM, digest = _best()


@lru_cache(1)
def _pool(process_id: int) -> ThreadPoolExecutor:  # a forked child has none of its parent's threads
    return ThreadPoolExecutor(_WORKERS, thread_name_prefix="farcell-hash")


def piece_digests(data: memoryview) -> tuple[bytes, ...]:
    """The digest of each 1 MiB of `data` (a contiguous memoryview of bytes)."""
    starts = range(0, data.nbytes, PIECE_BYTES)
    if data.nbytes < _PARALLEL_BYTES:
        return tuple(digest(data[start : start + PIECE_BYTES]) for start in starts)
    middle = len(starts) // 2

    def half(part: range) -> list[bytes]:
        return [digest(data[start : start + PIECE_BYTES]) for start in part]

    other = _pool(os.getpid()).submit(half, starts[middle:])
    return (*half(starts[:middle]), *other.result())


def changed_spans(old: tuple[bytes, ...], new: tuple[bytes, ...], size: int) -> list[tuple[int, int]]:
    """(start, stop) of the stretches whose pieces differ, neighbours joined."""
    spans: list[tuple[int, int]] = []
    for index, (before, now) in enumerate(zip(old, new, strict=False)):
        if before == now:
            continue
        start, stop = index * PIECE_BYTES, min((index + 1) * PIECE_BYTES, size)
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans
