"""The namespace as files, by the same machinery that sends it to another machine: for a kernel whose time is up.

A snapshot is a folder, complete or absent by its name: `manifest.json` says what is in it and what could not be saved,
`header.json` and `data` are a payload as to a notebook that knows nothing yet. Whoever reads one unpickles it: it lies in a 0700
folder of the user's own.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..snapshots import DATA, HEADER, MANIFEST, VERSION
from ..state import CannotTravel, Payload, Replica
from .namespace import Namespace
from .preview import describe


def save(namespace: Namespace, hashes: Sequence[str], folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Writes a snapshot of all names that can travel; its manifest, which `about` is a part of. Raises OSError.

    `about["room"]`: bytes that it may have.
    """
    names = namespace.user_names()
    beside = Replica(namespace, side="remote", hashes=hashes)
    payload = beside.pack(beside.capture((), optional=dict.fromkeys(names, "in the namespace"), ambient=False))
    if payload.total_bytes > about.pop("room", payload.total_bytes):
        size = f"{payload.total_bytes / 1e9:.1f} GB"
        raise OSError(f"{size} are more than the quota of snapshots has left; %remote forget removes this notebook's")
    saved = {*(name for stream in payload.header.get("streams", ()) for name in stream["names"]), *payload.header.get("bind", ())}
    names = [name for name in names if not isinstance(namespace[name], ModuleType)]  # an import is no state
    described = {name: describe(name, namespace[name]) for name in names if name in saved}
    manifest = {
        **about,
        "version": VERSION,
        "made": time.time(),
        "bytes": payload.total_bytes,
        "names": {name: {key: of[key] for key in ("type", "bytes")} for name, of in described.items()},
        "left": {name: _why(namespace, hashes, name) for name in names if name not in saved},
    }
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    try:
        _write(fresh, payload, manifest)
        os.rename(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _sync_folder(folder.parent)
    return manifest


def restore(namespace: Namespace, hashes: Sequence[str], folder: Path, wanted: Collection[str]) -> list[str]:
    """Binds those of the wanted names that are in the snapshot, and nothing else; which. Raises CannotRestore or OSError."""
    payload = _read(folder)
    reader = Replica(namespace, side="local", hashes=hashes)
    delta = reader.unpack(payload)
    before = {name: namespace[name] for name in namespace.user_names() if name not in wanted}
    reader.apply(delta)
    restored = [name for name in wanted if name in delta.values]
    unwanted = [name for name in delta.values if name not in wanted]
    namespace.drop([name for name in unwanted if name not in before])
    for name in unwanted:
        if name in before:
            namespace[name] = before[name]
    return restored


def _why(namespace: Namespace, hashes: Sequence[str], name: str) -> str:
    try:
        Replica(namespace, side="remote", hashes=hashes).capture([name], ambient=False)
    except CannotTravel as error:
        return error.reason
    return "what it consists of could not be saved together with the rest"


def _write(folder: Path, payload: Payload, manifest: dict[str, Any]) -> None:
    sizes = [[memoryview(buffer).nbytes for buffer in room] for room in (payload.buffers, payload.bulk)]
    with _open(folder / DATA) as file:
        for buffer in (*payload.buffers, *payload.bulk):
            file.write(memoryview(buffer).cast("B"))
        _flush(file)
    for name, fields in ((HEADER, {"header": payload.header, "sizes": sizes}), (MANIFEST, manifest)):
        with _open(folder / name) as file:
            file.write(json.dumps(fields).encode())
            _flush(file)


def _read(folder: Path) -> Payload:
    fields = json.loads((folder / HEADER).read_bytes())
    rooms: list[list[bytearray]] = []
    with open(folder / DATA, "rb") as file:
        for sizes in fields["sizes"]:
            rooms.append([])
            for size in sizes:
                buffer = bytearray(size)
                if file.readinto(buffer) != size:
                    raise OSError(f"{folder / DATA} is shorter than it was written")
                rooms[-1].append(buffer)
    return Payload(fields["header"], *rooms)


def _open(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
