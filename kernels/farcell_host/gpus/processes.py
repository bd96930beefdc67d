"""Whose a GPU process is, from /proc.

Drivers know nothing of sessions, and NVIDIA's counts processes as the machine does: in a container the PID that NVML gives is
mostly one of the host's (https://github.com/NVIDIA/nvidia-docker/issues/1483), with some newer drivers one of the container's.
So a PID is taken as it is only in the machine's first PID namespace. Elsewhere a process is believed to be meant when it is the
only one under that number, inside or outside, that has a GPU open; all others are unknown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .. import capabilities

_FIRST_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel's linux/proc_ns.h, the same since 3.8
_GPU_FILES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/dxg")


class Owner(Enum):
    SESSION = "session"  # descends from the root
    USER = "user"  # of the same user, not of this session
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class _Status:
    """A process as /proc tells; its numbers are those of /proc's namespace unless named otherwise."""

    parent: int
    session: int
    uid: int
    numbers: tuple[int, ...]
    """From /proc's namespace inwards to the process's own."""


class ProcessTree:
    """One look: what it has read of a process it does not read again."""

    def __init__(self, root_pid: int, proc: Path = Path("/proc")) -> None:
        """`root_pid` is a number of this process's own namespace."""
        self._proc = proc
        self._statuses: dict[int, _Status | None] = {}
        self._own = self._read("self") if capabilities.has_proc() else None
        self._is_first = self._own is not None and _link(proc / "self" / "ns" / "pid") == _FIRST_NAMESPACE
        self._marker = f"JPY_PARENT_PID={root_pid}".encode()
        self._root = self._outer(root_pid)

    def identify(self, pid: int) -> tuple[int, Owner]:
        """The number in this process's namespace where it has one, and whose it is, of a PID that a driver gave."""
        if self._own is None:
            return pid, Owner.UNKNOWN
        if self._is_first:
            # Hidden (hidepid=2) are only other users' processes, so that one not found is not ours, or has ended.
            found = pid if self._status(pid) else None
            return pid, self._owner(found) if found else Owner.OTHER
        candidates = {number for number in (pid, self._outer(pid)) if number is not None and self._status(number)}
        users = [number for number in candidates if self._uses_gpu(number)]
        return (self._inner(users[0]), self._owner(users[0])) if len(users) == 1 else (pid, Owner.UNKNOWN)

    def gpu_users(self) -> frozenset[int]:
        """What descends from the root and has a GPU open, as this process counts; not the root itself, which looks at them."""
        if self._own is None:
            return frozenset()
        numbers = {int(entry.name) for entry in self._proc.iterdir() if entry.name.isdecimal()} - {self._root}
        return frozenset(self._inner(number) for number in numbers if self._descends(number) and self._uses_gpu(number))

    def _owner(self, number: int) -> Owner:
        status = self._status(number)
        if self._descends(number):
            return Owner.SESSION
        return Owner.USER if status is not None and status.uid == os.geteuid() else Owner.OTHER

    def _descends(self, number: int) -> bool:
        """By parents; by the session, which outlives them; by what the kernel's environment leaves to all that it starts.

        A daemon has lost its parents to init, and one that `!nohup ... &` started its session's leader too.
        """
        open_, seen = [number], set[int]()
        while open_:
            current = open_.pop()
            if current == self._root:
                return True
            status = self._status(current)
            if current in seen or status is None:
                continue
            seen.add(current)
            open_ += [ancestor for ancestor in (status.parent, status.session) if ancestor]
        return self._is_marked(number)

    def _is_marked(self, number: int) -> bool:
        try:
            return self._marker in (self._proc / str(number) / "environ").read_bytes().split(b"\0")
        except OSError:  # another user's, or gone
            return False

    def _uses_gpu(self, number: int) -> bool:
        try:
            files = list((self._proc / str(number) / "fd").iterdir())
        except OSError:  # another user's, or gone
            return False
        return any((_link(file) or "").startswith(_GPU_FILES) for file in files)

    def _outer(self, pid: int) -> int | None:
        """A process of this namespace, as /proc counts: its own number unless /proc is that of a namespace further out."""
        if self._own is None or len(self._own.numbers) == 1:
            return pid
        depth = len(self._own.numbers) - 1
        if pid == self._own.numbers[depth]:
            return self._own.numbers[0]
        namespace = _link(self._proc / "self" / "ns" / "pid")
        for entry in self._proc.iterdir():
            status = self._status(int(entry.name)) if entry.name.isdecimal() else None
            is_same = status is not None and len(status.numbers) > depth and status.numbers[depth] == pid
            if is_same and _link(entry / "ns" / "pid") == namespace:
                return int(entry.name)
        return None

    def _inner(self, number: int) -> int:
        status = self._status(number)
        depth = len(self._own.numbers) - 1 if self._own is not None else 0
        return status.numbers[depth] if status is not None and len(status.numbers) > depth else number

    def _status(self, number: int) -> _Status | None:
        if number not in self._statuses:
            self._statuses[number] = self._read(str(number))
        return self._statuses[number]

    def _read(self, name: str) -> _Status | None:
        """proc_pid_status(5); NSpid and NSsid are there since Linux 4.1, not in all sandboxes."""
        try:
            lines = (self._proc / name / "status").read_text(errors="replace").splitlines()
        except OSError:
            return None
        fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
        try:
            pid, parent, uid = int(fields["Pid"][0]), int(fields["PPid"][0]), int(fields["Uid"][0])
            numbers = tuple(int(number) for number in fields.get("NSpid", ())) or (pid,)
            return _Status(parent, int(fields.get("NSsid", ["0"])[0]), uid, numbers)
        except (KeyError, IndexError, ValueError):
            return None


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
