"""What a host says of itself and of its runs (docs/architecture.md): in full, and in short what is worth telling at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import capabilities
from .protocol.messages import CELL_KEY, Message

if TYPE_CHECKING:
    from .host import Host


class Face:
    """Of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.untaken: dict[str, int] = {}
        """Runs that are over, by the number of their replies: until a driver has acknowledged it, or says that it has taken what
        came with it."""
        self._cells: dict[str, str] = {}
        self._requests: dict[str, str] = {}
        """The notebook's own messages, by the runs of cells that they asked for."""

    def note(self, message: Message) -> None:
        """Which cell a run is of, as its front end names cells."""
        cell = message.header.get(CELL_KEY)
        if cell is not None and message.msg_type == "farcell_run_request":
            unended = self.unended
            run = str(message.header.get("farcell_run"))
            self._cells = {run: known for run, known in self._cells.items() if run in unended}
            self._cells[run] = str(cell)
            self._requests = {run: known for run, known in self._requests.items() if run in unended}
            self._requests[run] = str(message.header.get("msg_id"))

    def acknowledged(self, sequence: int) -> bool:
        """The driver has all replies up to this one; whether runs have been taken by that. A detached run's says so itself."""
        detached = self._host.delivery.detached
        taken = [run for run, reply in self.untaken.items() if reply <= sequence and run not in detached]
        for run in taken:
            del self.untaken[run]
        return bool(taken)

    def now(self) -> dict[str, Any]:
        """What is worth telling at once when it changes."""
        return {
            "state": self.state(),
            "epoch": self._host.kernel.epoch,
            "run": self._host.kernel.run,
            "run_started": self._host.accounts.run_started,
            "waiting_runs": self._host.delivery.waiting_runs,
            "untaken_runs": list(self.untaken),
            "cells": {run: self._cells[run] for run in self.unended if run in self._cells},
            "requests": {run: self._requests[run] for run in self.unended if run in self._requests},
            "sent_bytes": self._host.accounts.sent_bytes,
            "arriving": {run: list(each) for run, each in self._host.delivery.arriving.items()},
            "moved": [each.as_fields() for each in self._host.accounts.moved()],
            "is_driven": self._host.driver is not None,
            "has_wall_time": self._host.has_wall_time,
        }

    def status(self) -> dict[str, Any]:
        """What it says of itself (docs/architecture.md)."""
        kernel = self._host.kernel
        now = time.monotonic()
        return {
            **self._host.info(),
            "state": self.state(),
            "run": kernel.run,
            "run_started": self._host.accounts.run_started,
            "waiting_runs": self._host.delivery.waiting_runs,
            "untaken_runs": list(self.untaken),
            "epoch": kernel.epoch,
            "direct": kernel.direct,
            "last": self._host.journal.last,
            "acknowledged": self._host.journal.acknowledged,
            "journal_bytes": self._host.journal.size,
            "memory_bytes": capabilities.resident_bytes(),
            "kernel_memory_bytes": capabilities.resident_bytes(kernel.process.pid) if kernel.is_alive else None,
            "idle_s": now - self._host.active_at,
            "age_s": now - self._host.began,
            "ending": self._host.ending(now),
            "connections": [[other.role, other.hello.client] for other in self._host.links if other.hello is not None],
            "capabilities": capabilities.report(),
        }

    @property
    def unended(self) -> list[str]:
        """In progress, waiting, or over and not taken yet."""
        going = [] if self._host.kernel.run is None else [self._host.kernel.run]
        return [*going, *self._host.delivery.waiting_runs, *self.untaken]

    def state(self) -> str:
        """ "dead", "starting", "busy" or "idle"."""
        kernel = self._host.kernel
        return "dead" if not kernel.is_alive else "starting" if not kernel.is_ready else "busy" if kernel.asked else "idle"
