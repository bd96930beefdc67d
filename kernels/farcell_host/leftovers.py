"""What farcell has left on this machine: what it is, how large, and whether anything uses it still.

Nothing is removed that a session which lives may use. Its own folder is known by its lock; the kernel host, the environment and
the data that it may read by the processes here, by locked files of use (hosts of other machines, on a shared disk) and by jobs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import runtime, usage
from .bootstrap.store import Store
from .snapshots import EXPIRY_S, Snapshots

SETTLED_S = 600.0
"""A folder that was written to just now may be of a session that begins, or have a log that somebody wants to read."""
UNUSED_S = 30 * 86400.0
"""An environment that nothing was started with for so long."""
JOB = "farcell-"
"""What the names of our jobs begin with."""
UNKNOWN_JOBS = "unknown"


@dataclass(frozen=True)
class Leftover:
    """`stale`: nothing will want it; the rest would be made or sent anew. `used` says by what it is in use, "" if by nothing."""

    kind: str
    path: Path
    bytes: int
    age_s: float
    why: str
    stale: bool
    used: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "path": str(self.path)}


class Leftovers:
    """Of one user: in `cache`, in the sessions' folder here, and in `state`, where jobs keep their snapshots. Folders of jobs'
    sessions are not looked at: their results may be wanted still, and listing sessions removes those that are not."""

    def __init__(self, cache: Path, state: Path | None = None, current: str = "", jobs: Iterable[str] = ()) -> None:
        """`current`: the digest of the kernel host that is sent now; `jobs`: the names of this user's, or UNKNOWN_JOBS."""
        self._cache, self._state, self._current = cache, state, current
        self._jobs = any(job == UNKNOWN_JOBS or job.startswith(JOB) for job in jobs)
        self._commands = _commands()
        here = {str(host.fields.get("session")) for host in runtime.live_hosts()}
        self._elsewhere = usage.living(cache / usage.FOLDER) - here
        self._now = time.time()

    def found(self) -> Iterator[Leftover]:
        yield from self._sessions()
        yield from self._hosts()
        yield from self._environments()
        yield from self._wheels()
        yield from self._snapshots()
        yield from self._chunks()

    def remove(self, paths: Iterable[str]) -> Iterator[Leftover]:
        """Those of these paths that are left over still; nothing else is touched."""
        wanted = set(paths)
        for each in list(self.found()):
            if str(each.path) in wanted and not each.used and _remove(each):
                yield each

    def _left(self, kind: str, path: Path, why: str, stale: bool, used: str = "") -> Leftover:
        size, last = _measured(path)
        return Leftover(kind, path, size, max(0.0, self._now - last), why, stale, used)

    def _user_of(self, path: Path) -> str:
        """Who may use something that sessions anywhere share."""
        if any(str(path) in command for command in self._commands):
            return "a process here"
        if self._elsewhere:
            return "a session on another machine"
        return "a job" if self._jobs else ""

    def _sessions(self) -> Iterator[Leftover]:
        for folder in _entries(runtime.root(), "s-*"):
            if not (folder / runtime.HOST_FILE).exists() or runtime.is_taken(folder):
                continue
            left = self._left("session", folder, "its kernel host is gone", True)
            used = "a process here" if any(str(folder) in command for command in self._commands) else ""
            if left.age_s > SETTLED_S or used:
                yield Leftover(**{**left.__dict__, "used": used})

    def _hosts(self) -> Iterator[Leftover]:
        for file in _entries(self._cache, "host-*.pyz*"):
            is_current = file.name == f"host-{self._current}.pyz"
            is_whole = file.suffix == ".pyz"
            why = "this version's" if is_current else "another version's" if is_whole else "it was never sent to its end"
            left = self._left("kernel host", file, why, not is_current, self._user_of(file))
            if is_whole or left.age_s > SETTLED_S:
                yield left

    def _environments(self) -> Iterator[Leftover]:
        store = Store(self._cache)
        for folder in _entries(store.environments, "*-*"):
            digest = folder.name.partition("-")[0]
            if not folder.is_dir():
                continue
            python, used = store.environment(digest), self._user_of(folder)
            if python is None or not Path(python).is_relative_to(folder):
                used = used or ("somebody who makes it" if store.is_making(digest) else "")
                yield self._left("environment", folder, "it was never finished, or its Python is gone", True, used)
                continue
            unused_s = self._now - store.used(digest)
            why = f"not used for {unused_s / 86400:.0f} days" if unused_s > 86400 else "used in the last day"
            yield self._left("environment", folder, why, unused_s > UNUSED_S, used)

    def _wheels(self) -> Iterator[Leftover]:
        """Those that an environment was made from stay with it: without them it would not be found again."""
        store = Store(self._cache)
        named = store.shipped_names()
        for wheel in _entries(store.wheels, "*.whl"):
            why = "sent to make an environment from" if wheel.name in named else "no environment is made from it"
            yield self._left("wheel", wheel, why, wheel.name not in named, self._user_of(wheel.parent))

    def _snapshots(self) -> Iterator[Leftover]:
        for root in (self._cache / "snapshots", *([self._state / "snapshots"] if self._state is not None else [])):
            for snapshot in Snapshots(root).all():
                if self._now - snapshot.made > EXPIRY_S:
                    yield self._left("snapshot", snapshot.folder, "it has expired", True)
            for folder in _entries(root, "*.new"):
                left = self._left("snapshot", folder, "it was never written to its end", True)
                if left.age_s > EXPIRY_S / 2:
                    yield left

    def _chunks(self) -> Iterator[Leftover]:
        folder = self._cache / "chunks"
        if folder.is_dir():
            used = "a session here" if any(runtime.live_hosts()) else self._user_of(folder)
            yield self._left("sent data", folder, "kept so that it need not be sent again", False, used)


def _entries(folder: Path, pattern: str) -> list[Path]:
    """Nothing that is linked to: what it leads to is not ours."""
    try:
        return [path for path in sorted(folder.glob(pattern)) if not path.is_symlink()]
    except OSError:
        return []


def _measured(path: Path) -> tuple[int, float]:
    """Bytes on the disk, and when it was written to last, its folders within apart."""
    total, last = 0, 0.0
    with contextlib.suppress(OSError):
        status = path.lstat()
        total, last = status.st_blocks * 512, status.st_mtime
    for at, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(at, name))
                total += status.st_blocks * 512
                last = max(last, status.st_mtime if at == str(path) else 0.0)
    return total, last


def _commands() -> list[str]:
    """Of this machine's processes, as far as they may be seen; what runs from a file has it in its command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        if place.name != str(os.getpid()):
            with contextlib.suppress(OSError):
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def _remove(left: Leftover) -> bool:
    """What names it goes first, so that nobody finds half of it."""
    try:
        if left.kind == "environment":
            digest = left.path.name.partition("-")[0]
            entry = Store(left.path.parent.parent)
            if (entry.environment(digest) or "").startswith(f"{left.path}/"):
                entry.forget(digest)
        if left.path.is_dir():
            shutil.rmtree(left.path)
        else:
            left.path.unlink()
    except OSError:
        return not left.path.exists()
    return True


def write(lines: Iterable[Leftover]) -> None:
    for each in lines:
        print(json.dumps(each.to_json()), flush=True)
