"""Large buffers from memory to memory of two processes on one machine, Linux only: the remote kernel reads those of a notebook
that is there too, and its host writes into the kernel's what comes from elsewhere.

One copy by process_vm_readv(2) or process_vm_writev(2), into memory that may have huge pages. A memory file costs about five
times as much for 256 MB: its 4 KiB pages are made, mapped and freed one by one. The system allows it to the same user in the
same PID namespace unless it is hardened (Yama's ptrace_scope, a seccomp filter); who is not allowed gets Unreadable, and the
buffers are sent as memory files then.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from . import bulk, capabilities
from .bulk import Buffer, in_pieces

_TOKEN = ctypes.create_string_buffer(secrets.token_bytes(16), 16)


class Unreadable(OSError):
    """The other process's memory cannot be read, or it is another process by now."""


class _Span(ctypes.Structure):  # struct iovec
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _View(ctypes.Structure):  # Py_buffer: the same in CPython 3.10 to 3.13
    _fields_ = (
        ("address", ctypes.c_void_p),
        ("owner", ctypes.py_object),
        ("size", ctypes.c_ssize_t),
        ("item_size", ctypes.c_ssize_t),
        ("is_readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def offer(buffer: Buffer) -> dict[str, Any]:
    """Where a contiguous buffer lies in this process. The caller keeps it alive until the peer has answered or written."""
    token = [ctypes.addressof(_TOKEN), _TOKEN.raw.hex()]
    return {"pid": os.getpid(), "address": _address(buffer), "token": token}


def read(place: dict[str, Any], size: int, check: Callable[[], object]) -> memoryview:
    """A writable copy of `size` bytes of another process. `check` is called every 2 MiB; what it raises ends the work.

    Raises Unreadable, also when the process is not the one that made the offer: a PID of another namespace, or used again.
    """
    if not capabilities.has_peermemory():
        raise Unreadable("Reading the memory of other processes is not available here")
    pid = _process(place)
    room = bulk.room(size)
    target, source = _address(room), int(place["address"])

    def piece(start: int, stop: int) -> None:
        _read(pid, source + start, target + start, stop - start)

    in_pieces(size, check, piece)
    return room


def write(place: dict[str, Any], offset: int, data: Buffer) -> None:
    """Copies `data` into another process, which has offered this place for writing. Raises Unreadable."""
    _transfer("process_vm_writev", _process(place), int(place["address"]) + offset, _address(data), memoryview(data).nbytes)


def try_to_write(place: dict[str, Any]) -> None:
    """Raises Unreadable where `write` would, and changes nothing."""
    pid, (token_at, token) = _process(place), place["token"]
    same = bytes.fromhex(token)
    _transfer("process_vm_writev", pid, int(token_at), _address(same), len(same))


def _process(place: dict[str, Any]) -> int:
    """Its number, if it is the one that made the offer."""
    pid, (token_at, token) = int(place["pid"]), place["token"]
    there = bytearray(len(token) // 2)
    _read(pid, int(token_at), _address(there), len(there))
    if there.hex() != token:
        raise Unreadable(f"Process {pid} is not the one whose memory is meant")
    return pid


def _read(pid: int, source: int, target: int, size: int) -> None:
    _transfer("process_vm_readv", pid, source, target, size)


def _transfer(name: str, pid: int, there: int, here: int, size: int) -> None:
    call = _call(name)
    while size:
        done = call(pid, _Span(here, size), 1, _Span(there, size), 1, 0)
        if done <= 0:
            number = ctypes.get_errno()
            raise Unreadable(number, f"The memory of process {pid} is out of bounds: {os.strerror(number)}")
        here, there, size = here + done, there + done, size - done


@lru_cache(2)
def _call(name: str) -> Any:
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), name)
    except AttributeError as error:
        raise Unreadable(f"This system's C library has no {name}") from error
    spans = ctypes.POINTER(_Span)
    call.argtypes = [ctypes.c_int, spans, ctypes.c_ulong, spans, ctypes.c_ulong, ctypes.c_ulong]
    call.restype = ctypes.c_ssize_t
    return call


def _address(buffer: Buffer) -> int:
    """Of its first byte; 0 for an empty one."""
    view = _View()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(view), 0)  # PyBUF_SIMPLE: contiguous or an error
    address = view.address or 0
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
    return address
