"""Bridges stdin and stdout to a kernel host's socket: what a remote shell runs so that any mechanism which gives stdio will do.

Standard library only and few imports of it: it starts at every reconnect. Open files cannot pass here, so it uses the socket
on which the host does not offer them.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

ATTACH_SOCKET = "attach.socket"
_BYTES = 256 << 10


def attach(folder: str, reading: int = 0, writing: int = 1, mark: str | None = None) -> int:
    """Copies both ways until either side ends; the exit code. Says `MARK run` first, where a mark is given."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(os.path.join(folder, ATTACH_SOCKET))
    except OSError as error:
        print(f"farcell: no kernel host listens in {folder}: {error.strerror}", file=sys.stderr)
        return 1
    if mark is not None:
        os.write(writing, f"{mark} run\n".encode())
    to_host = threading.Thread(target=_to_host, args=(reading, sock), name="to-host", daemon=True)
    to_host.start()
    buffer = memoryview(bytearray(_BYTES))
    try:
        while size := sock.recv_into(buffer):
            _write(writing, buffer[:size])
    except OSError:  # an end went away: nothing can be said to it any more
        pass
    return 0


def _to_host(reading: int, sock: socket.socket) -> None:
    buffer = memoryview(bytearray(_BYTES))
    try:
        while size := os.readv(reading, [buffer]):
            sock.sendall(buffer[:size])
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
