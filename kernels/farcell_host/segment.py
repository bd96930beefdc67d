"""One file of the journal: whole frames one after the other, and a sparse index of where messages begin."""

from __future__ import annotations

import contextlib
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import capabilities
from .bulk import Buffer, read_all
from .protocol.frames import Frame, FrameReader
from .protocol.messages import byte_count

INDEX_BYTES = 32 << 10  # one index entry about this often: 16 bytes of memory for it
_MAX_BUFFERS = 512
_SCAN_BYTES = 1 << 20


class Segment:
    """`first` is the first sequence number it may hold, `next` the one after its last. Without a path it lies in memory."""

    def __init__(self, first: int, path: Path | None) -> None:
        self.first = first
        self.next = first
        self.path = path
        self.size = 0
        self.fd = (
            capabilities.memory_file()
            if path is None
            else os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        )
        self._sequences = array("Q")
        self._offsets = array("Q")

    def mark(self, sequence: int, always: bool = False) -> None:
        """The next message written is number `sequence`: worth an index entry?"""
        if always or not self._offsets or self.size - self._offsets[-1] >= INDEX_BYTES:
            self._sequences.append(sequence)
            self._offsets.append(self.size)

    def write(self, buffers: Sequence[Buffer]) -> None:
        """All of it or, with OSError, nothing."""
        start = self.size
        try:
            for at in range(0, len(buffers), _MAX_BUFFERS):
                self._write_some(list(buffers[at : at + _MAX_BUFFERS]))
        except OSError:
            self.size = start
            while self._offsets and self._offsets[-1] > start:
                self._offsets.pop()
                self._sequences.pop()
            os.ftruncate(self.fd, start)
            raise

    def _write_some(self, buffers: list[Buffer]) -> None:
        total = sum(map(byte_count, buffers))
        os.lseek(self.fd, self.size, os.SEEK_SET)
        written = os.writev(self.fd, buffers)
        if written < total:  # the disk is nearly full, or a signal came
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        self.size += total

    def find(self, sequence: int) -> tuple[int, int]:
        """The index entry at or before `sequence`: its number and offset."""
        at = max(0, bisect_right(self._sequences, sequence) - 1)
        return (self._sequences[at], self._offsets[at]) if self._offsets else (self.first, 0)

    def boundary(self, offset: int, sequence: int, max_bytes: int, before: int | None) -> tuple[int, int]:
        """Where a read from `offset` (message `sequence`) should end: number and offset of the message after it.

        The last index entry within `max_bytes`, the next one if there is none, but never beyond message `before`.
        """
        last = (self.next, self.size)
        high = bisect_right(self._offsets, offset + max_bytes) - 1
        low = bisect_right(self._offsets, offset)
        if self.size - offset > max_bytes and low < len(self._offsets):
            chosen = max(low, high)
            last = (self._sequences[chosen], self._offsets[chosen])
        if before is not None and sequence < before < last[0]:
            return self.find(before)
        return last

    def read(self, start: int, end: int) -> bytes:
        return read_all(self.fd, end - start, start)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Every frame from `start` on, a little at a time."""
        reader = FrameReader()
        while start < self.size:
            data = read_all(self.fd, min(_SCAN_BYTES, self.size - start), start)
            start += len(data)
            yield from reader.feed(data)

    def close(self) -> None:
        os.close(self.fd)

    def delete(self) -> None:
        self.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
