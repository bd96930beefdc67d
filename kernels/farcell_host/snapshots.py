"""Snapshots of namespaces: where they lie, which there are, and when they go. What is in one: `inkernel/saving.py`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1
MANIFEST, HEADER, DATA = "manifest.json", "header.json", "data"
KEPT = 2
"""So many of one notebook on one target, the latest ones."""
EXPIRY_S = 14 * 86400.0


@dataclass(frozen=True)
class Snapshot:
    """One folder, complete."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def made(self) -> float:
        """Seconds since the epoch, by the clock of the machine that wrote it."""
        return float(self.manifest["made"])


class Snapshots:
    """Those in one folder, of all notebooks and targets of a user."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def new_folder(self, notebook: str | None, target: str | None) -> Path:
        """For the next one: not there yet."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.root / f"{_key(notebook, target)}-{time.time_ns():x}"

    def of(self, notebook: str | None, target: str | None) -> list[Snapshot]:
        """The latest first."""
        found = sorted(self.root.glob(f"{_key(notebook, target)}-*"), reverse=True)
        return [snapshot for folder in found if (snapshot := _read(folder)) is not None]

    def all(self) -> Iterator[Snapshot]:
        with contextlib.suppress(OSError):
            for folder in sorted(self.root.iterdir()):
                snapshot = _read(folder)
                if snapshot is not None:
                    yield snapshot

    def tidy(self, notebook: str | None, target: str | None) -> None:
        """Old ones go: of this notebook all but the latest, of all what has expired, and what was not written to its end."""
        for snapshot in self.of(notebook, target)[KEPT:]:
            _remove(snapshot.folder)
        for snapshot in self.all():
            if time.time() - snapshot.made > EXPIRY_S:
                _remove(snapshot.folder)
        for folder in self.root.glob("*.new"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > EXPIRY_S / KEPT:
                    _remove(folder)

    def forget(self, notebook: str | None, target: str | None) -> int:
        """How many there were."""
        found = self.of(notebook, target)
        for snapshot in found:
            _remove(snapshot.folder)
        return len(found)


def _key(notebook: str | None, target: str | None) -> str:
    return hashlib.blake2b(f"{notebook or ''}\0{target or ''}".encode(), digest_size=8).hexdigest()


def _read(folder: Path) -> Snapshot | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    usable = folder.suffix != ".new" and isinstance(manifest, dict) and manifest.get("version") == VERSION
    return Snapshot(folder, manifest) if usable else None


def _remove(folder: Path) -> None:
    """Its manifest first: what is left of it is none any more."""
    with contextlib.suppress(OSError):
        (folder / MANIFEST).unlink()
    shutil.rmtree(folder, ignore_errors=True)
