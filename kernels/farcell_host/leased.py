"""Processes of a lease: its id is in their environment, which all that it starts inherits, however they were daemonised.

Whoever takes the mark out of a process's environment is not found so; where people must not be trusted with that, a control group
or an account of the lease's own holds them (docs/security.md).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from . import capabilities

MARK = "FARCELL_LEASE"


def processes(lease: str, proc: Path = Path("/proc")) -> Iterator[int]:
    """Of this user; nothing where there is no /proc."""
    mark = f"{MARK}={lease}".encode()
    for entry in proc.iterdir() if capabilities.has_proc() else ():
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:  # another user's, or gone
            continue


def end(lease: str, timeout_s: float) -> list[int]:
    """Kills them, and what they start meanwhile; those that live still when the time is over."""
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in processes(lease) if pid != os.getpid() and not _is_over(pid)]:
        for pid in left:
            _kill(pid, lease, deadline)
        if time.monotonic() > deadline:
            return left
    return []


def _kill(pid: int, lease: str, deadline: float) -> None:
    """The very process that has the mark: a number may be another one's by now."""
    fd = capabilities.open_process(pid)
    try:
        if pid not in processes(lease):
            return
        if fd is None:
            os.kill(pid, signal.SIGKILL)
            return
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.poll(max(0, int((deadline - time.monotonic()) * 1000)))
    except (ProcessLookupError, PermissionError):
        return
    finally:
        if fd is not None:
            os.close(fd)


def _is_over(pid: int) -> bool:
    """A zombie waits for its parent and holds nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
