"""Fingerprints of bytes: fast, not cryptographic, compared only with this side's own history.

Large buffers are hashed in pieces of 1 MiB, so that a change inside one costs one piece on the wire. Raw memory is hashed in
place; two threads share the work from 8 MiB on, since xxhash and hashlib both release the GIL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from .halves import in_halves

PIECE_BYTES = 1 << 20
_PARALLEL_BYTES = 8 << 20


def _blake2b(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _best() -> tuple[str, Callable[[Any], bytes]]:
    try:
        import xxhash
    except ImportError:
        return "blake2b", _blake2b
    return "xxh3", xxhash.xxh3_128_digest


ALGORITHM, digest = _best()


def piece_digests(data: memoryview) -> tuple[bytes, ...]:
    """The digest of each 1 MiB of `data` (a contiguous memoryview of bytes)."""
    starts = range(0, data.nbytes, PIECE_BYTES)

    def digests(part: range) -> list[bytes]:
        return [digest(data[start : start + PIECE_BYTES]) for start in part]

    if data.nbytes < _PARALLEL_BYTES:
        return tuple(digests(starts))
    first, second = in_halves(digests, starts)
    return (*first, *second)


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
