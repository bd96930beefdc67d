"""Byte streams over TCP inside a cluster: TLS 1.3, where both ends show the same certificate and know its key.

The certificate is the session's own, made by the notebook and put into 0600 files; whoever has its key is the owner, and nobody
else is believed, neither the client by the host nor the host by the client. Behind the door lies the host's socket for bridges.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .errors import FarcellHostError

HANDSHAKE_S = 10.0
CONNECT_S = 5.0
_STRANGERS = 32
"""So many may be at their handshake at once; the port is open to everybody in the cluster."""
_BACKLOG = 64
_BYTES = 256 << 10

log = logging.getLogger("farcell.door")


class DoorError(FarcellHostError):
    """No way through: nobody answers, or it is not the one that is known."""


class Door:
    """Listens on a port of the system's choice until `close`; `port` is known at once."""

    def __init__(self, identity: Path, inner: Path) -> None:
        """`identity`: a PEM file with certificate and key; `inner`: the Unix socket to which all that come in are led."""
        self._context, self._certificate = _context(ssl.PROTOCOL_TLS_SERVER, identity)
        self._inner = str(inner)
        self._strangers = threading.BoundedSemaphore(_STRANGERS)
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        self._listener = socket.create_server(("", 0), family=family, backlog=_BACKLOG, dualstack_ipv6=family == socket.AF_INET6)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, name="door", daemon=True).start()

    def close(self) -> None:
        """Nobody comes in any more; who is in stays until an end goes away."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()

    def _serve(self) -> None:
        while True:
            self._strangers.acquire()
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._admit, args=(sock, address), name="door-in", daemon=True).start()

    def _admit(self, sock: socket.socket, address: object) -> None:
        try:
            outer = _shake(self._context, self._certificate, sock, server_side=True)
            inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            inner.connect(self._inner)
        except (OSError, DoorError) as error:
            log.warning("Somebody at %s was not let in: %s", address, error)
            sock.close()
            return
        finally:
            self._strangers.release()
        with outer, inner:
            inner.setblocking(False)
            pump(outer, inner.fileno(), inner.fileno())


def reach(identity: Path, address: str, reading: int = 0, writing: int = 1, mark: str = "") -> int:
    """Bridges two open files to a door at `HOST:PORT`, or behind the Unix socket at a path with a `/`; the exit code.

    Says `MARK run` first, once the other side has shown who it is; what is in the way is told in its place.
    """
    try:
        context, certificate = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
        outer = _shake(context, certificate, _connect(address), server_side=False)
    except (OSError, DoorError) as error:
        os.write(writing, f"{address}: {error}\n".encode())
        return 1
    os.write(writing, f"{mark} run\n".encode())
    for fd in (reading, writing):
        os.set_blocking(fd, False)
    with outer:
        pump(outer, reading, writing)
    return 0


def pump(outer: ssl.SSLSocket, reading: int, writing: int) -> None:
    """Copies both ways until either end is over. All are non-blocking; one thread does both directions, since a TLS connection
    must not be read and written at the same time."""
    inward, outward = _Way(outer.recv_into, lambda data: os.write(writing, data)), _Way(partial(_readv, reading), outer.send)
    while True:
        try:
            while inward.step() or outward.step():
                pass
        except (EOFError, OSError):
            return
        tls = (select.POLLOUT if inward.wants_write else select.POLLIN) if not inward.left else 0
        tls |= (select.POLLIN if outward.wants_read else select.POLLOUT) if outward.left else 0
        wanted: Counter[int] = Counter()  # an open file may be both ends of the inner side
        for fd, events in (
            (outer.fileno(), tls),
            (reading, 0 if outward.left else select.POLLIN),
            (writing, select.POLLOUT if inward.left else 0),
        ):
            wanted[fd] |= events
        poller = select.poll()
        for fd, events in wanted.items():
            if events:
                poller.register(fd, events)
        poller.poll()


class _Way:
    """One direction."""

    def __init__(self, read: Callable[[memoryview], int], write: Callable[[memoryview], int]) -> None:
        self._read, self._write = read, write
        self._room = memoryview(bytearray(_BYTES))
        self.left = self._room[:0]
        """Read and not yet written."""
        self.wants_read = self.wants_write = False
        """What TLS waits for, which may be the opposite of what was tried."""

    def step(self) -> bool:
        """Whether anything could be done; raises EOFError at the end, OSError where an end is broken."""
        try:
            if self.left:
                self.left = self.left[self._write(self.left) :]
            else:
                size = self._read(self._room)
                if not size:
                    raise EOFError
                self.left = self._room[:size]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            self.wants_read, self.wants_write = isinstance(error, ssl.SSLWantReadError), isinstance(error, ssl.SSLWantWriteError)
            return False
        return True


def _readv(fd: int, room: memoryview) -> int:
    return os.readv(fd, [room])


def _context(protocol: int, identity: Path) -> tuple[ssl.SSLContext, bytes]:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate itself is what is known, not a name in it
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(identity)
    text = identity.read_text()
    certificate = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") :])
    context.load_verify_locations(cadata=certificate)
    return context, certificate


def _shake(context: ssl.SSLContext, certificate: bytes, sock: socket.socket, server_side: bool) -> ssl.SSLSocket:
    """Both have shown the same certificate; raises OSError or DoorError."""
    try:
        sock.settimeout(HANDSHAKE_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wrapped = context.wrap_socket(sock, server_side=server_side)
        if wrapped.getpeercert(binary_form=True) != certificate:
            raise DoorError("it is not the one that is known")
        wrapped.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return wrapped


def _connect(address: str) -> socket.socket:
    if "/" in address:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(address)
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), CONNECT_S)
