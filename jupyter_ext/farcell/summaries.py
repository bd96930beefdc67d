"""What a session tells of itself and of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .exchange import PlanRow


@dataclass(frozen=True)
class RunSummary:
    """What one run sent, brought back and took."""

    run: str
    target: str
    seconds: float
    sent: tuple[PlanRow, ...]
    back: tuple[str, ...]
    sent_bytes: int
    received_bytes: int
    has_result: bool
    usage: Mapping[str, Any] = field(default_factory=dict)
    """As the target measured it: seconds, and gpus where it has any (`peak_fields` of farcell_host.telemetry)."""
    price_per_hour: float | None = None
    ended: str = "ok"
    """Or what it raised, or what became of it (`Finish.how`)."""

    @property
    def cost(self) -> float | None:
        """Its share of what the session costs; None where no price is known."""
        return None if self.price_per_hour is None else self.price_per_hour * float(self.usage.get("seconds", 0.0)) / 3600


@dataclass(frozen=True)
class SessionStatus:
    """A session at one moment; `state` is "not started", "idle", "running", "kernel dead" or "ended"."""

    state: str
    pid: int | None
    kernel_pid: int | None
    runtime: str | None
    epoch: int
    queued: int
    sent: int
    received: int
    runs: int


@dataclass(frozen=True)
class Moved:
    """A name that was pushed or pulled."""

    name: str
    type: str
    bytes: int
