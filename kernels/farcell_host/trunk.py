"""Bridges one stdin and stdout to any number of kernel hosts of this user: whoever looks at all sessions of a machine needs one
connection to it, where each session would cost one of those that its sshd allows.

A channel leads to a host's socket here, or through a door to one in a job. Hosts that come and go are told of, so that nobody
has to ask for them. It ends with its stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import runtime
from .attach import ATTACH_SOCKET
from .protocol.trunk import GONE, Frames, Kind, frame

LOOK_S = 1.0
CONNECT_S = 5.0
_BYTES = 64 << 10


def trunk(mark: str, tells_hosts: bool, reading: int = 0, writing: int = 1) -> int:
    """Until either end closes; says `MARK run` first. The exit code."""
    os.write(writing, f"{mark} run\n".encode())
    carried = _Trunk(writing)
    if tells_hosts:
        threading.Thread(target=carried.tell_hosts, name="hosts", daemon=True).start()
    frames = Frames()
    with contextlib.suppress(OSError):
        while data := os.read(reading, _BYTES):
            for kind, channel, payload in frames.receive(data):
                carried.take(kind, channel, payload)
    return 0


class _Trunk:
    def __init__(self, writing: int) -> None:
        self._writing = writing
        self._lock = threading.Lock()  # around writing, so that frames are whole
        self._channels: dict[int, socket.socket] = {}

    def take(self, kind: Kind, channel: int, payload: bytes) -> None:
        """On the main thread alone, which waits for no host."""
        if kind is Kind.OPEN:
            threading.Thread(target=self._serve, args=(channel, json.loads(payload)), daemon=True).start()
            return
        sock = self._channels.get(channel)
        if sock is None:
            return
        if kind is Kind.DATA:
            try:
                sent = sock.send(payload, socket.MSG_DONTWAIT)
            except OSError:
                sent = 0
            if sent == len(payload):
                return
        # It is over, or its host takes nothing, for which no other may wait.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    def _serve(self, channel: int, way: Mapping[str, Any]) -> None:
        try:
            sock = _connect(way)
        except FileNotFoundError:
            return self._say(Kind.CLOSE, channel, GONE)
        except OSError as error:
            return self._say(Kind.CLOSE, channel, str(error).encode())
        self._channels[channel] = sock
        self._say(Kind.OPENED, channel)
        why = b"it has closed its end"
        try:
            while data := sock.recv(_BYTES):
                self._say(Kind.DATA, channel, data)
        except OSError as error:
            why = str(error).encode()
        del self._channels[channel]
        sock.close()
        self._say(Kind.CLOSE, channel, why)

    def tell_hosts(self) -> None:
        """Whenever there are others than before; first of those that are here."""
        told = None
        while True:
            hosts = sorted(os.path.basename(host.runtime) for host in runtime.live_hosts())
            if hosts != told:
                self._say(Kind.HOSTS, 0, json.dumps(hosts).encode())
                told = hosts
            time.sleep(LOOK_S)

    def _say(self, kind: Kind, channel: int, payload: bytes = b"") -> None:
        data = memoryview(frame(kind, channel, payload))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._writing, data) :]
            except OSError:  # nobody is there any more to carry anything for
                os._exit(0)


def _connect(way: Mapping[str, Any]) -> socket.socket:
    """Raises OSError, FileNotFoundError where no host lives."""
    if "runtime" not in way:
        return _behind_a_door(Path(way["identity"]), list(way["to"]))
    folder = Path(way["runtime"])
    if not runtime.is_taken(folder):
        raise FileNotFoundError(str(folder))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_S)
        sock.connect(str(folder / ATTACH_SOCKET))
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock


def _behind_a_door(identity: Path, addresses: list[str]) -> socket.socket:
    """At the first address that leads there."""
    from .door import reach

    if not identity.exists():
        raise FileNotFoundError(str(identity))
    failures = []
    for address in addresses:
        ours, theirs = socket.socketpair()
        threading.Thread(target=_until_over, args=(reach, identity, address, theirs), daemon=True).start()
        said = b""
        while not said.endswith(b"\n") and (byte := ours.recv(1)):
            said += byte
        if said == b"reached run\n":
            return ours
        ours.close()
        failures.append(said.decode(errors="replace").strip())
    raise ConnectionError("; ".join(failures) or "it has no address")


def _until_over(reach: Any, identity: Path, address: str, inner: socket.socket) -> None:
    with inner:
        reach(identity, address, inner.fileno(), inner.fileno(), "reached")
