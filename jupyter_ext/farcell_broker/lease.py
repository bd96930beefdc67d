"""A lease and what is asked for: values that the broker's parts hand to each other. Times are UTC epoch seconds.

    WAITING --grant--> GRANTED --running--> RUNNING --warn--> ENDING --release--> RELEASING --freed--> ENDED
       |                  |                    |                                     ^
       `--cancel--> ENDED `--------------------`-------------release-----------------'

Its GPUs are taken from GRANTED on until `freed`: the host's end alone does not free them, their processes must be gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class Who:
    """Who asks, as the hub (or the broker's own token file) says; never as the request says."""

    name: str
    groups: frozenset[str] = frozenset()
    is_admin: bool = False


@dataclass(frozen=True)
class Request:
    """What is asked for. `key` is chosen by the client: asked twice with the same one is asked once."""

    key: str
    target: str
    gpus: int = 1
    """0 only where the target has `slots`."""
    walltime_s: float | None = None
    """None: as long as policy allows."""
    notebook: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else the host is started with; says nothing about who or how much."""


class State(str, Enum):
    """Of a lease; the value is what the database and the API say."""

    WAITING = "waiting"
    GRANTED = "granted"
    """GPUs are assigned, the host is being started."""
    RUNNING = "running"
    ENDING = "ending"
    """Warned, and told to save; still usable."""
    RELEASING = "releasing"
    """The host was told to end; its GPUs are not free yet."""
    ENDED = "ended"

    def __str__(self) -> str:
        return self.value


HOLDING = frozenset({State.GRANTED, State.RUNNING, State.ENDING, State.RELEASING})
"""States in which the lease's GPUs are nobody else's."""
USABLE = frozenset({State.RUNNING, State.ENDING})
"""States in which there is a host to talk to."""
OPEN = HOLDING | {State.WAITING}


@dataclass(frozen=True)
class Lease:
    """One request and what became of it, as it was at one moment."""

    id: str
    key: str
    user: str
    groups: tuple[str, ...]
    target: str
    gpus: int
    devices: tuple[int, ...]
    """Indexes of the target's GPUs; empty while waiting, and for a slot without GPUs."""
    fence: int
    """Grows by every grant, over all leases, and is never used twice; 0 while waiting."""
    state: State
    asked_at: float
    granted_at: float | None = None
    ends_at: float | None = None
    """By wall time; None without a limit."""
    reason: str | None = None
    """Why it waits, was warned or has ended, as a sentence for its user."""
    host: Mapping[str, Any] | None = None
    """What `Hosts.start` returned: enough to find the host after a restart of the broker."""
    place: int | None = None
    """In the target's queue: 1 is next; None when not waiting."""
    notebook: str | None = None
    warned_at: float | None = None
    account: str | None = None
    """The Unix account that isolation "pool" leases with the GPUs."""
    last_active_at: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    walltime_s: float | None = None
    ended_at: float | None = None
    definition: Mapping[str, Any] | None = None
    """Of the target, as it was when it was granted (`kept.py`)."""

    @property
    def is_waiting(self) -> bool:
        return self.state is State.WAITING

    @property
    def holds(self) -> bool:
        """Whether its GPUs are nobody else's."""
        return self.state in HOLDING


@dataclass(frozen=True)
class Use:
    """What was used in one period and what may be; None is no limit. Money is in the policy's currency."""

    gpu_hours: float
    money: float
    max_gpu_hours: float | None = None
    max_money: float | None = None


@dataclass(frozen=True)
class Standing:
    """Where a user stands, for `%remote usage` and the pages."""

    user: str
    targets: tuple[str, ...]
    """That the user may ask for."""
    held: int
    """GPUs at this moment."""
    max_gpus: int | None
    day: Use
    month: Use
    share: float
    """The part of all that policy would give this user if everybody wanted GPUs: 0 to 1."""
    used_share: float
    """The user's part of all decayed usage: 0 to 1; below `share` means served before others."""
    leases: tuple[Lease, ...] = ()
    """The open ones, each waiting one with its place."""
