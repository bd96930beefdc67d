"""Wheels for another Python on another machine: which platforms it takes, and what else is needed for what it asks for.

`pip download` finds them, here; but it reads the markers of what a package requires as if for the Python that runs it, so that
what only the other one needs is missing. `Closure` reads them for the other one, and says what to download beside.
"""

from __future__ import annotations

import email
import importlib.util
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farcell_host.bootstrap import installers
from farcell_host.bootstrap.received import digest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
_OTHERS_GLIBC = 17
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_PIECE = 1 << 20


@dataclass(frozen=True)
class Wheel:
    path: Path
    size: int
    digest: str

    @classmethod
    def at(cls, path: Path) -> Wheel:
        found = digest()
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
        return cls(path, path.stat().st_size, found.hexdigest())

    @property
    def name(self) -> str:
        return self.path.name

    def as_json(self, is_sent: bool) -> dict[str, Any]:
        """As a manifest has it (`farcell_host.bootstrap.received`)."""
        return {"name": self.name, "size": self.size, "digest": self.digest, "sent": is_sent}


def platforms(described: Mapping[str, Any]) -> list[str]:
    """Platform tags that a machine takes, from what `farcell_host.bootstrap.description` says of it; best first.

    PEP 600 (manylinux), PEP 656 (musllinux); of macOS's pip itself knows the older ones.
    """
    machine = described["machine"]
    if described["macos"]:
        major, minor, *_ = [*map(int, described["macos"].split(".")), 0]
        return [f"macosx_{major}_{0 if major > 10 else minor}_{machine}"]
    kind, version = described["libc"]
    tags = []
    if kind == "glibc":
        oldest = _OLDEST_GLIBC.get(machine, _OTHERS_GLIBC)
        for minor in range(int(version.split(".")[1]), oldest - 1, -1):
            tags.append(f"manylinux_2_{minor}_{machine}")
            if minor in _LEGACY:
                tags.append(f"{_LEGACY[minor]}_{machine}")
    else:
        tags += [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
    return [*tags, f"linux_{machine}"]


def download_command(described: Mapping[str, Any], requirements: Iterable[str], folder: Path) -> list[str]:
    """What downloads wheels here for the Python there; by the pip of this Python, or the one that its ensurepip keeps."""
    major, minor = described["python"].split(".")[:2]
    return [
        *_pip(), "download", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--only-binary=:all:",
        "--dest", str(folder), "--python-version", f"{major}.{minor}", "--implementation", "cp",
        *(word for abi in (described["abi"], "abi3", "none") for word in ("--abi", abi)),
        *(word for platform in platforms(described) for word in ("--platform", platform)),
        *requirements,
    ]  # fmt: skip


def _pip() -> Sequence[str]:
    wheel = installers.bundled_pip() if importlib.util.find_spec("pip") is None else None
    return [sys.executable, "-m", "pip"] if wheel is None else [sys.executable, f"{wheel}/pip"]


class Closure:
    """What of the wheels in a folder is needed for some requirements, on a Python whose `markers` are these."""

    def __init__(self, folder: Path, requirements: Iterable[str], markers: Mapping[str, str]) -> None:
        self._markers = dict(markers)
        self._wheels = {canonicalize_name(parse_wheel_filename(path.name)[0]): path for path in folder.glob("*.whl")}
        self._seen: set[tuple[str, str]] = set()
        self.missing: dict[str, str] = {}
        """Requirements that no wheel here meets, by name."""
        self._needed: dict[str, Path] = {}
        for each in requirements:
            self._add(Requirement(each))

    @property
    def wheels(self) -> list[Path]:
        """Those that are needed, by name."""
        return [self._needed[name] for name in sorted(self._needed)]

    def _add(self, requirement: Requirement) -> None:
        name = canonicalize_name(requirement.name)
        wheel = self._wheels.get(name)
        if wheel is None:
            self.missing[name] = f"{requirement.name}{_extras(requirement)}{requirement.specifier}"
            return
        self._needed[name] = wheel
        for extra in ("", *requirement.extras):
            if (name, extra) in self._seen:
                continue
            self._seen.add((name, extra))
            for text in _requirements_of(wheel):
                found = Requirement(text)
                if found.marker is None or found.marker.evaluate({**self._markers, "extra": extra}):
                    self._add(found)


def _extras(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


def _requirements_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.count("/") == 1 and each.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
