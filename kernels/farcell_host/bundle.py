"""This package as one file, `farcell_host.pyz`: same bytes for same sources, so that a target knows it has them already."""

from __future__ import annotations

import importlib.resources
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

OLDEST = (3, 10)
TOO_OLD = 83
"""The exit code of a Python that is older than that."""
_MAIN = f"""\
import sys
if sys.version_info < {OLDEST}:
    sys.stderr.write("farcell needs Python {OLDEST[0]}.{OLDEST[1]}; this is " + sys.version.split()[0] + "\\n")
    sys.exit({TOO_OLD})
from farcell_host.__main__ import main
sys.exit(main())
""".encode()  # in the words of any Python, down to 2.7
_TIME = (1980, 1, 1, 0, 0, 0)


class Traversable(Protocol):
    """What importlib.resources gives; its own name for it moved between Python 3.10 and 3.14."""

    @property
    def name(self) -> str: ...
    def is_dir(self) -> bool: ...
    def iterdir(self) -> Iterator[Traversable]: ...
    def read_bytes(self) -> bytes: ...


def write_zipapp(target: Path) -> None:
    """Written under another name first: a target never sees half of it."""
    partial = target.with_name(target.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        _write(archive, "__main__.py", _MAIN)
        for name, file in sorted(_sources(importlib.resources.files("farcell_host"), "farcell_host")):
            _write(archive, name, file.read_bytes())
    partial.replace(target)


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        name = f"{prefix}/{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _sources(entry, name)
        elif not entry.name.endswith((".pyc", ".pyo")):
            yield name, entry
