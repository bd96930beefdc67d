"""Large buffers that the remote kernel reads straight out of the notebook's memory: both on one machine, Linux only.

One copy by process_vm_readv(2), into memory that may have huge pages. A memory file costs about five times as much for 256 MB:
its 4 KiB pages are made, mapped and freed one by one. The system allows it to the same user in the same PID namespace unless
it is hardened (Yama's ptrace_scope, a seccomp filter); a reader that is not allowed raises Unreadable, and the buffers are sent
as memory files then.
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
    """Where a contiguous buffer lies in this process. The caller keeps it alive until the peer has answered."""
    token = [ctypes.addressof(_TOKEN), _TOKEN.raw.hex()]
    return {"pid": os.getpid(), "address": _address(buffer), "token": token}


def read(place: dict[str, Any], size: int, check: Callable[[], object]) -> memoryview:
    """A writable copy of `size` bytes of another process. `check` is called every 2 MiB; what it raises ends the work.

    Raises Unreadable, also when the process is not the one that made the offer: a PID of another namespace, or used again.
    """
    if not capabilities.has_peermemory():
        raise Unreadable("Reading the memory of other processes is not available here")
    pid, (token_at, token) = int(place["pid"]), place["token"]
    if bytes(_copy(pid, int(token_at), bytearray(len(token) // 2))).hex() != token:
        raise Unreadable(f"Process {pid} is not the one whose memory is meant")
    room = bulk.room(size)
    target, source = _address(room), int(place["address"])

    def piece(start: int, stop: int) -> None:
        _read(pid, source + start, target + start, stop - start)

    in_pieces(size, check, piece)
    return room


def _copy(pid: int, address: int, into: bytearray) -> bytearray:
    _read(pid, address, _address(into), len(into))
    return into


def _read(pid: int, source: int, target: int, size: int) -> None:
    while size:
        done = _process_vm_readv()(pid, _Span(target, size), 1, _Span(source, size), 1, 0)
        if done <= 0:
            number = ctypes.get_errno()
            raise Unreadable(number, f"The memory of process {pid} cannot be read: {os.strerror(number)}")
        source, target, size = source + done, target + done, size - done


@lru_cache(1)
def _process_vm_readv() -> Any:
    try:
        call = ctypes.CDLL(None, use_errno=True).process_vm_readv
    except AttributeError as error:
        raise Unreadable("This system's C library has no process_vm_readv") from error
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
