"""Runtime folders: one 0700 folder a session, whose lock tells whether its host lives.

A host holds an exclusive lock on its `host.json` for as long as it lives, so that whoever looks sees the truth without asking
a process that may hang, and after a crash nothing stale is believed. Folders lie on this node, in a short place (a Unix
socket's path has room for about a hundred bytes): never on NFS, never in XDG_RUNTIME_DIR, which is removed at logout.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FarcellHostError

HOST_FILE = "host.json"
SOCKET = "socket"
KERNEL_SOCKET = "kernel.socket"
HOST_LOG = "host.log"
KERNEL_LOG = "kernel.log"
INTERRUPTED_FILE = "interrupted"  # the run that the host interrupted last
IN_A_JOB = "FARCELL_IN_A_JOB"  # an environment variable: the kernel outlives its scheduler's SIGTERM
PROBED_S = 0.2
"""Whoever looks which hosts live holds a lock for some microseconds; a host holds its own for ever."""
PATH_BYTES = 103  # sun_path has 104 bytes on macOS, 108 on Linux, with a closing NUL


class RuntimeFolderError(FarcellHostError):
    """A runtime folder that is not safe, not usable, or in use."""


@dataclass(frozen=True)
class HostInfo:
    """A live host, as its folder tells."""

    runtime: str
    pid: int
    socket: str
    fields: dict[str, Any] = field(default_factory=dict)  # all of host.json: python, notebook, started, ...


def root() -> Path:
    """Where session folders are, `$FARCELL_RUNTIME_DIR` or `/tmp/farcell-<uid>`."""
    chosen = os.environ.get("FARCELL_RUNTIME_DIR")
    return Path(chosen) if chosen else Path(f"/tmp/farcell-{os.getuid()}")


def named(folder: str | Path) -> Path:
    """A session's folder, of which only the name may be known."""
    return root() / folder if len(Path(folder).parts) == 1 else Path(folder).absolute()


def secure(folder: Path) -> Path:
    """Makes the folder with mode 0700, or checks that it is ours alone; sockets inside have no other lock."""
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeFolderError(f"{folder} is not a folder (symbolic links are not followed). Remove it or choose another.")
    if found.st_uid != os.geteuid():
        raise RuntimeFolderError(
            f"{folder} belongs to user {found.st_uid}, not to you ({os.geteuid()}). "
            "Set FARCELL_RUNTIME_DIR to a folder of your own."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(folder, 0o700)
    return folder


def check_length(folder: Path, name: str = KERNEL_SOCKET) -> None:
    """Sockets in the folder must fit the system's limit for their paths; `name` is the longest that they have."""
    longest = len(os.fsencode(folder.absolute() / name))
    if longest > PATH_BYTES:
        raise RuntimeFolderError(
            f"{folder} is too long for Unix sockets ({longest} bytes, {PATH_BYTES} fit). "
            "Set FARCELL_RUNTIME_DIR to a shorter folder."
        )


class HostLock:
    """The exclusive lock on a session folder's `host.json`, held until `close` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / HOST_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + PROBED_S
        while not _try_lock(self._fd):
            if time.monotonic() > deadline:
                os.close(self._fd)
                raise RuntimeFolderError(f"A kernel host already lives in {folder}")
            time.sleep(0.005)

    def write(self, fields: dict[str, Any]) -> None:
        """Whoever reads meanwhile finds the one or the other, and never nothing: blanks hide what was longer."""
        data = json.dumps(fields).encode()
        os.pwrite(self._fd, data.ljust(os.fstat(self._fd).st_size), 0)
        os.ftruncate(self._fd, len(data))

    def close(self) -> None:
        os.close(self._fd)


def find_host(folder: Path) -> HostInfo | None:
    """The live host of this folder, or None."""
    try:
        fd = os.open(folder / HOST_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        if _try_lock(fd, is_probe=True):
            return None
        data = os.pread(fd, 1 << 16, 0)
    finally:
        os.close(fd)
    try:
        fields = json.loads(data)
        return HostInfo(str(folder), int(fields["pid"]), str(fields["socket"]), fields)
    except (ValueError, KeyError, TypeError):  # it has the lock and has not written yet
        return None


def is_taken(folder: Path) -> bool:
    """Whether a host has the folder, also one that has not said yet where it listens."""
    try:
        fd = os.open(folder / HOST_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(fd, is_probe=True)
    finally:
        os.close(fd)


def live_hosts(folder: Path | None = None) -> Iterator[HostInfo]:
    """All hosts of this user that live on this machine, found by their locks."""
    base = folder or root()
    with contextlib.suppress(OSError):
        for entry in sorted(base.iterdir()):
            host = find_host(entry)
            if host is not None:
                yield host


def _try_lock(fd: int, is_probe: bool = False) -> bool:
    """Two that probe at once do not take each other for a host."""
    import fcntl

    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if is_probe else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
