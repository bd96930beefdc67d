"""How much memory a process may have, how much it had, and whether the system has killed somebody for it: evidence for a death.

A control group counts those of its processes that were killed because memory ran out, its own limit's or the machine's:
`oom_kill` in `memory.events` (cgroup v2) or in `memory.oom_control` (v1, which counts in the innermost group alone). A process
that has ended is in no group any more, so it is looked at while it lives. See cgroups(7), proc_pid_cgroup(5) and Linux'
Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_UNLIMITED = 1 << 60
"""v1 writes no limit as a number near 2**63."""


@dataclass(frozen=True)
class _Words:
    """What files of one version are called."""

    events: str
    limit: str
    peak: str


_V2 = _Words("memory.events", "memory.max", "memory.peak")
_V1 = _Words("memory.oom_control", "memory.limit_in_bytes", "memory.max_usage_in_bytes")


@dataclass(frozen=True)
class MemoryEvidence:
    """In bytes; None where the system does not tell."""

    kills: int | None = None
    """Processes of the group that were killed since the evidence begins."""
    limit: int | None = None
    """The tightest that applies, of the group or of one around it."""
    peak: int | None = None
    """Of all processes that are under that limit, since their group was made."""
    machine: int | None = None

    def as_fields(self) -> dict[str, Any]:
        return asdict(self)


class MemoryGroup:
    """The control group that a living process is in."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._words, self._folder, self._top = _V2, None, Path()
        found = _find(proc, pid)
        if found is not None:
            self._words, self._folder, self._top = found
        self._kills_before = self._kills()

    def begin(self) -> None:
        """What has happened in the group until now is no evidence."""
        self._kills_before = self._kills()

    def evidence(self) -> MemoryEvidence:
        kills = self._kills()
        new = kills - (self._kills_before or 0) if kills is not None else None
        limit, peak = None, None
        for folder in self._around():
            allowed = _number(folder / self._words.limit)
            if allowed is not None and allowed < (limit or _UNLIMITED):
                limit, peak = allowed, _number(folder / self._words.peak)
        return MemoryEvidence(new, limit, peak, _machine_bytes())

    def _kills(self) -> int | None:
        if self._folder is None:
            return None
        try:
            lines = _read(f"{self._folder}/{self._words.events}").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), None)

    def _around(self) -> Iterator[Path]:
        """The group's folder and those above, as far as this machine or container shows them."""
        folder = self._folder
        while folder is not None:
            yield folder
            folder = folder.parent if folder != self._top else None


def _find(proc: Path, pid: int) -> tuple[_Words, Path, Path] | None:
    """How its files are called, the folder of the group that counts this process's memory, and the uppermost mounted one."""
    try:
        groups = (proc / str(pid) / "cgroup").read_text().splitlines()
        mounts = (proc / "self" / "mountinfo").read_text().splitlines()
    except OSError:
        return None
    found = None
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or (not controllers and found is None):
            words = _V1 if controllers else _V2
            folder = _mounted(mounts, path, words)
            found = (words, *folder) if folder is not None else found
    return found


def _mounted(mounts: list[str], path: str, words: _Words) -> tuple[Path, Path] | None:
    """A container may see a part of the tree, mounted as if it were all of it: mountinfo's fourth field says which."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, point = before.split(" ")[3:5]
        is_it = kind == "cgroup2" if words is _V2 else kind == "cgroup" and "memory" in options.split(",")
        if not is_it:
            continue
        top = Path(point)
        inside = os.path.relpath(path, root) if path.startswith(root) else path.lstrip("/")
        for folder in (top / inside, top):
            if (folder / words.events).exists():
                return folder, top
    return None


def _read(path: str) -> bytes:
    """By system calls alone: each run waits for it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _number(file: Path) -> int | None:
    """`max`, and what stands for it, is None."""
    try:
        value = int(file.read_text())
    except (OSError, ValueError):
        return None
    return value if value < _UNLIMITED else None


def _machine_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError):
        return None
