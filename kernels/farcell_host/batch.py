"""The kernel host as the batch step of a scheduler's job.

Sockets and locks lie on the node; what must outlive it lies in the session's folder, which all nodes see: the journal, and where
the host is to be found (`rendezvous.json`, complete or absent). The notebook believes none of it without the certificate.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import runtime
from .door import Door

RENDEZVOUS = "rendezvous.json"
IDENTITY = "identity.pem"
JOURNAL = "journal"


def serve_batch(session: Path, serve: Callable[[Path, Path, Callable[[dict[str, Any]], None]], None]) -> int:
    """Until the host ends. `serve` gets the runtime folder, the journal's folder and what to call when the host listens."""
    folder = runtime.root() / session.name
    runtime.check_length(folder)
    runtime.secure(folder)
    shutil.rmtree(session / JOURNAL, ignore_errors=True)  # of this job before it was requeued: another host's
    doors: list[Door] = []

    def on_listening(info: dict[str, Any]) -> None:
        door = Door(session / IDENTITY, folder / "attach.socket")
        doors.append(door)
        _write(session / RENDEZVOUS, {**info, **place(), "addresses": [f"{each}:{door.port}" for each in addresses()]})

    try:
        serve(folder, session / JOURNAL, on_listening)
    finally:
        for door in doors:
            door.close()
        with contextlib.suppress(OSError):
            (session / RENDEZVOUS).unlink()
        shutil.rmtree(session / JOURNAL, ignore_errors=True)
    return 0


def place() -> dict[str, Any]:
    """The node's name for the scheduler, and which start of the job this is."""
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    return {"node": node, "job": os.environ.get("SLURM_JOB_ID"), "restarts": int(os.environ.get("SLURM_RESTART_COUNT") or 0)}


def addresses() -> list[str]:
    """By which this node may be known to others, best first."""
    name = socket.gethostname()
    found = [name, *([node] if (node := os.environ.get("SLURMD_NODENAME")) else [])]
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)]
    return [each for each in dict.fromkeys(found) if each]


def _write(file: Path, fields: dict[str, Any]) -> None:
    fresh = file.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(fields, stream)
        stream.flush()
        os.fsync(stream.fileno())  # over a shared file system the name may otherwise come before the content
    os.replace(fresh, file)
