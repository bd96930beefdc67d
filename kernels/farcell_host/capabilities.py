"""What this machine's system offers, and the portable way where it does not.

Seven things are Linux's own or work differently elsewhere: memfd, SCM_RIGHTS, process_vm_readv, pidfd, SO_PEERCRED, /proc and
epoll. Every choice between one of them and its fallback is made here, when it is needed, so that a test forces any fallback for
a whole tree of processes with `FARCELL_WITHOUT=memfd,descriptors,peermemory,pidfd,peercred,proc,epoll`.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Sequence

NAMES = ("memfd", "descriptors", "peermemory", "pidfd", "peercred", "proc", "epoll")
_MAX_DESCRIPTORS = 64  # a receive's room; Linux allows 253 in one message, the outbox sends one a frame
_LOCAL_PEERCRED = 1  # <sys/un.h> of macOS and the BSDs; Python has no name for it
_LINUX = sys.platform.startswith("linux")

# Plain numbers: `receive` is called for each piece of each message, and an operation of enum's takes as long as the system's.
_ROOM = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize) if hasattr(socket, "CMSG_SPACE") else 0
_CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_TRUNCATED = int(getattr(socket, "MSG_CTRUNC", 0))


def _allowed(name: str) -> bool:
    return name not in os.environ.get("FARCELL_WITHOUT", "").replace(" ", "").split(",")


def has_memfd() -> bool:
    return _allowed("memfd") and hasattr(os, "memfd_create")


def has_descriptors() -> bool:
    """Whether open files can be passed over a Unix socket (SCM_RIGHTS)."""
    return _allowed("descriptors") and hasattr(socket, "SCM_RIGHTS") and hasattr(socket.socket, "sendmsg")


def has_peermemory() -> bool:
    """Whether the system has a call to read another process's memory; that process may still be out of bounds."""
    return _allowed("peermemory") and _LINUX


def has_pidfd() -> bool:
    return _allowed("pidfd") and hasattr(os, "pidfd_open")


def has_peercred() -> bool:
    return _allowed("peercred") and hasattr(socket, "SO_PEERCRED")


def has_proc() -> bool:
    return _allowed("proc") and _LINUX and os.path.exists("/proc/self/stat")


def has_epoll() -> bool:
    return _allowed("epoll") and hasattr(select, "epoll")


def report() -> dict[str, bool]:
    """Which of the seven are used here, for status and bug reports."""
    return {
        "memfd": has_memfd(),
        "descriptors": has_descriptors(),
        "peermemory": has_peermemory(),
        "pidfd": has_pidfd(),
        "peercred": has_peercred(),
        "proc": has_proc(),
        "epoll": has_epoll(),
    }


def memory_file() -> int:
    """A new, empty, nameless file, in memory where the system can; the caller closes it."""
    if has_memfd():
        return os.memfd_create("farcell", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    fd, path = tempfile.mkstemp(prefix="farcell-", dir=folder)
    os.unlink(path)
    return fd


def seal(fd: int) -> None:
    """Nobody can change or shrink the memory file any more: a shrunk mapping would kill its reader with SIGBUS."""
    if not has_memfd():
        return
    import fcntl

    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)


def receive(sock: socket.socket, buffer: memoryview) -> tuple[int, list[int]]:
    """Reads bytes into `buffer`, where `has_descriptors`, and what descriptors came along; these are the caller's to close."""
    size, ancillary, flags, _ = sock.recvmsg_into([buffer], _ROOM, _CLOEXEC)
    if not (ancillary or flags & _TRUNCATED):
        return size, []
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    for fd in fds:
        os.set_inheritable(fd, False)
    if flags & _TRUNCATED:
        for fd in fds:
            os.close(fd)
        raise OSError("Open files got lost on the way through the socket (is the limit of open files reached?)")
    return size, list(fds)


def send(sock: socket.socket, buffers: Sequence[bytes | bytearray | memoryview], fds: Sequence[int] = ()) -> int:
    """Writes what fits of `buffers`; the descriptors ride on the first byte."""
    if not fds:
        return sock.sendmsg(buffers)
    return sock.sendmsg(buffers, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def open_process(pid: int) -> int | None:
    """A descriptor that becomes readable when process `pid` ends, or None: watch SIGCHLD or poll then."""
    if not has_pidfd():
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # a kernel before 5.3, or a sandbox that forbids the call
        return None


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; None where the system does not tell: the 0700 folder is the lock then."""
    if has_peercred():
        _, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    if not _LINUX and _allowed("peercred"):
        try:  # struct xucred: version, uid, ...
            return int(struct.unpack_from("II", sock.getsockopt(0, _LOCAL_PEERCRED, 76))[1])
        except OSError:
            return None
    return None


def is_running(pid: int) -> bool:
    """Whether process `pid` exists and is no zombie (without /proc a zombie counts as running)."""
    if has_proc():
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat:
                return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def resident_bytes(pid: int | None = None) -> int | None:
    """A process's memory now, this one's by default; without /proc its own peak; None where it is not known."""
    if has_proc():
        try:
            with open(f"/proc/{pid or 'self'}/statm", "rb") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        except OSError:  # it has ended
            return None
    if pid is not None:
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
