"""One side's files, for whoever copies from one side to the other: the same on both, asked directly here and by
`farcell_files_request` over there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import filetree
from .filedigest import digest_of
from .partfile import PIECE_BYTES, CannotCopy, PartFile, part_of, pieces_of

OPERATIONS = ("survey", "place", "digests", "pieces", "read", "folders", "write", "settle")


class Files:
    """Paths are named from the working folder on. Methods raise OSError and CannotCopy; arguments and answers are JSON, but for
    the contents of files."""

    def __init__(self, check: Callable[[], object] = lambda: None) -> None:
        """`check` is called now and then while files are read through, and may raise."""
        self._check = check
        self._parts: dict[str, PartFile] = {}

    def survey(self, path: str, exclude: Sequence[str] = ()) -> dict[str, Any]:
        return filetree.survey(path, exclude).as_json()

    def place(self, path: str | None, tree: dict[str, Any]) -> dict[str, Any]:
        self.close()
        return filetree.place(path, filetree.Tree.of(tree))

    def digests(self, files: Iterable[Sequence[Any]]) -> list[str | None]:
        """Of each (path, size); None of one that is not there, or has another size."""
        return [self._digest(path, size) for path, size in files]

    def pieces(self, path: str, base: str = "file") -> list[str]:
        """The digests of the pieces of a `"file"`, or of the `"part"` that was left of an earlier transfer to it."""
        return pieces_of(part_of(path) if base == "part" else path, self._check)

    def read(self, spans: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """The content of each `{path, offset, size, file_size, mtime_ns}`; CannotCopy when the file is no longer that."""
        contents = []
        for span in spans:
            with open(span["path"], "rb") as file:
                file.seek(span["offset"])
                contents.append(file.read(span["size"]))
                status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (span["file_size"], span["mtime_ns"]):
                raise CannotCopy(f"{span['path']} was changed while it was read. What was copied before it is there; try again.")
        return contents

    def folders(self, paths: Iterable[str], links: Iterable[Sequence[str]] = ()) -> None:
        """Makes folders, and links (path, what they lead to) in the place of what is there."""
        for path in paths:
            os.makedirs(path, exist_ok=True)
        for path, leads_to in links:
            part = part_of(path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            os.symlink(leads_to, part)
            os.replace(part, path)

    def write(self, pieces: Iterable[Mapping[str, Any]], contents: Iterable[Any]) -> None:
        """`{place, offset, first, last, base, size, mode, mtime_ns, digest}`, with the content of each; one file's in order."""
        for piece, data in zip(pieces, contents, strict=True):
            # From the working folder on: one without a leading slash, of `--files`.
            place = os.path.realpath(piece["place"])
            try:
                if piece["first"]:
                    self._leave(place)
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    self._parts[place] = PartFile(place, piece.get("base"))
                part = self._parts[place]
                part.write(piece["offset"], data)
                if piece["last"]:
                    part.finish(piece["size"], piece["mode"], piece["mtime_ns"], piece.get("digest"))
                    del self._parts[place]
            except (OSError, CannotCopy):  # of a full disk nothing shall stay; an interrupted one is gone on with
                self._discard(place)
                raise

    def settle(self, modes: Iterable[Sequence[Any]]) -> None:
        """The modes of folders (path, mode), once all is in them; the innermost first."""
        for path, mode in modes:
            os.chmod(path, mode)

    def close(self) -> None:
        """What is half written, of a copy that was broken off, stays so: the next one goes on with it."""
        for place in list(self._parts):
            self._leave(place)

    def _leave(self, place: str) -> None:
        part = self._parts.pop(place, None)
        if part is not None:
            part.leave()

    def _digest(self, path: str, size: int) -> str | None:
        with contextlib.suppress(OSError):
            if os.path.isfile(path) and os.path.getsize(path) == size:
                return digest_of(path, self._check)
        return None

    def _discard(self, place: str) -> None:
        part = self._parts.pop(place, None)
        if part is not None:
            part.discard()


def explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


__all__ = ["OPERATIONS", "PIECE_BYTES", "CannotCopy", "Files", "explain"]
