"""Ports for servers that tests start. One is free when it is looked for; somebody else may be quicker to take it."""

from __future__ import annotations

import re
import socket

TRIES = 5
"""So often a server is started anew that has found its port taken."""
_TAKEN = re.compile(r"address already in use|EADDRINUSE|port \d+ is (already in use|not available)", re.IGNORECASE)


def free_ports(count: int) -> list[int]:
    """All different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def is_taken(log: str) -> bool:
    """Whether a server's log says that it could not have its port."""
    return _TAKEN.search(log) is not None
