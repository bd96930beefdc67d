"""Chunks on disk by content address, shared by all hosts of a user on this machine, so that what was sent once need not be sent
again.

A file is written under a temporary name and renamed, and its content is checked against the address first: a reader sees
whole chunks only. The modification time is the time of last use; over the quota the longest unused go first, but none used in
the last ten minutes, since a client may just have been told that it is here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from . import bulk
from .errors import FarcellHostError

QUOTA_BYTES = 4 << 30
PROTECTED_S = 600.0
_TOUCH_S = 60.0  # a use is noted at most this often


class ChunkStoreError(FarcellHostError):
    """A chunk could not be kept: it is not what its address says, or the disk is full."""


PART = "FARCELL_CACHE_PART"
"""An environment variable: whose of several people's in one account this is. A word that names a folder."""


def own_folder() -> Path:
    """Of whoever this host is for: chunks, snapshots and usage of several people in one account lie apart, so that nobody can ask
    what another one has sent."""
    part = os.environ.get(PART, "")
    if not part:
        return cache_folder()
    if not part.isalnum():
        raise ChunkStoreError(f"{PART} must be a word of letters and digits, not {part!r}.")
    return cache_folder() / "people" / part


def cache_folder() -> Path:
    """`$FARCELL_CACHE_DIR`, else the platform's cache folder."""
    chosen = os.environ.get("FARCELL_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "farcell"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "farcell"


class ChunkStore:
    """Blocking, for any thread; a chunk is at most 1 MiB."""

    def __init__(self, folder: Path, quota_bytes: int = QUOTA_BYTES, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.quota_bytes = quota_bytes
        self._clock = clock
        self._bytes: int | None = None  # known after the first look at the folder
        self._lock = threading.Lock()  # around it

    def missing(self, addresses: Iterable[str]) -> list[str]:
        """Those that are not here; those that are count as used now."""
        return [address for address in dict.fromkeys(addresses) if not self._touch(address)]

    def get(self, address: str) -> bytes | None:
        """The chunk, or None. A file that is not what its name says (a crash, a bad disk) is removed and counts as missing."""
        path = self._path(address)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if not bulk.matches(address, data):
            path.unlink(missing_ok=True)
            return None
        self._touch(address)
        return data

    def put(self, address: str, data: bytes | memoryview) -> None:
        """Keeps a chunk; raises ChunkStoreError when it is not what the address says or the disk is full."""
        if not bulk.matches(address, data):
            raise ChunkStoreError(f"A chunk arrived damaged: its content does not match its address {address[:24]}...")
        if self._touch(address):
            return
        path = self._path(address)
        partial = path.with_name(f".{uuid.uuid4().hex}")
        try:
            fd = self._create(partial)
            try:
                bulk.write_all(fd, data, 0)
            finally:
                os.close(fd)
            os.replace(partial, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise ChunkStoreError(
                f"The chunk store {self.folder} cannot keep {len(data)} bytes: {error.strerror}. "
                "Free some space there or point FARCELL_CACHE_DIR at another disk, then run the cell again."
            ) from error
        self._grown(len(data))

    def _create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:  # the first in its folder
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(path, flags, 0o600)

    def _path(self, address: str) -> Path:
        name, _, digest = address.partition(":")
        if name not in ("blake3", "blake2b") or len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):
            raise ChunkStoreError(f"Not a chunk address: {address[:80]!r}")
        return self.folder / name / digest[:2] / digest

    def _touch(self, address: str) -> bool:
        path = self._path(address)
        try:
            if self._clock() - path.stat().st_mtime > _TOUCH_S:
                os.utime(path, (self._clock(), self._clock()))
        except OSError:
            return False
        return True

    def _grown(self, size: int) -> None:
        with self._lock:
            self._bytes = None if self._bytes is None else self._bytes + size
            if self._bytes is None or self._bytes > self.quota_bytes:
                self._evict()

    def _evict(self) -> None:
        """Looks at what is there (other hosts write too) and removes the longest unused down to nine tenths of the quota."""
        files = []
        for path in self.folder.glob("*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        self._bytes = sum(size for _, size, _ in files)
        if self._bytes <= self.quota_bytes:
            return
        protected = self._clock() - PROTECTED_S
        for used, size, path in sorted(files):
            if self._bytes <= self.quota_bytes * 9 // 10 or used > protected:
                return
            path.unlink(missing_ok=True)
            self._bytes -= size
