"""A file on its way: written beside its place, which it takes when it is whole, so that whoever has the old one open goes on
reading that. One that was left half written is gone on with: pieces that are right already are not sent again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import FarcellHostError

PIECE_BYTES = 1 << 20
SUFFIX = ".farcell-part"


class CannotCopy(FarcellHostError):
    """What is asked for cannot be done with these files; nothing was written."""


def part_of(place: str) -> str:
    folder, name = os.path.split(place)
    return os.path.join(folder, f".{name}{SUFFIX}")


def is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(SUFFIX)


def pieces_of(path: str, check: Callable[[], object] = lambda: None) -> list[str]:
    """The digest of each piece of its content; OSError when it cannot be read. `check` is called with each, and may raise."""
    with open(path, "rb") as file:
        return _pieces(file, check)


def whole(pieces: Sequence[str]) -> str:
    """One digest of a file's content, of those of its pieces."""
    return hashlib.blake2b("".join(pieces).encode(), digest_size=16).hexdigest()


def _pieces(file: Any, check: Callable[[], object] = lambda: None) -> list[str]:
    found = []
    while piece := file.read(PIECE_BYTES):
        check()
        found.append(hashlib.blake2b(piece, digest_size=16).hexdigest())
    return found


class PartFile:
    """Held by one transfer at a time. Methods raise OSError."""

    def __init__(self, place: str, base: str | None = None) -> None:
        """`base`: what it begins with, the `"file"` that is in its place or the `"part"` that was left; None: nothing.

        Raises CannotCopy when another transfer is at it.
        """
        self.place, self.path = place, part_of(place)
        self._file = _held(self.path)
        try:
            if base != "part":
                self._file.truncate(0)
            if base == "file":
                self._copy(place)
        except BaseException:
            self.discard()
            raise

    def _copy(self, path: str) -> None:
        offset = 0
        with open(path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                self.write(offset, piece)
                offset += len(piece)

    def write(self, offset: int, data: Any) -> None:
        self._file.seek(offset)
        left = memoryview(data).cast("B")
        while left:
            left = left[self._file.write(left) :]

    def finish(self, size: int, mode: int, mtime_ns: int, digest: str | None = None) -> None:
        """Takes its place, if the content is what `whole` says; raises CannotCopy if it is not."""
        self._file.truncate(size)
        if digest is not None:
            self._file.seek(0)
            if whole(_pieces(self._file)) != digest:
                raise CannotCopy(f"{self.place} was changed while it was written. Nothing became of it; try again.")
        os.fchmod(self._file.fileno(), mode)
        os.utime(self._file.fileno(), ns=(mtime_ns, mtime_ns))
        os.replace(self.path, self.place)
        self._file.close()

    def leave(self) -> None:
        """For another time."""
        self._file.close()

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self._file.close()


def _held(path: str) -> Any:
    while True:
        # Not through a link that somebody else has put there, in a folder that all may write to.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
                raise CannotCopy(f"{path} is in the way: remove it.")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotCopy(f"{Path(path).name} is being written: another transfer of the same file goes on.") from None
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == status.st_ino:
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it has put it into its place meanwhile
