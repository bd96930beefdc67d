"""What a way to keep people apart does: it starts a lease's host, reaches it, and ends all that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from farcell.backends.base import JobState, LaunchOptions, Opened

from ..policy import SharedTarget

Host = Mapping[str, Any]
"""JSON, in the lease: enough to find the host again after a restart of the broker. It never holds a secret."""


@dataclass(frozen=True)
class Wanted:
    """One lease's host."""

    lease: str
    fence: int
    user: str
    account: str | None
    """That the lease holds, of isolation "pool"."""
    devices: tuple[int, ...]
    place: SharedTarget
    options: LaunchOptions
    """Its environment names the devices; its session is the lease's own, so that a start done twice is done once."""


class Isolation(Protocol):
    """On the broker's loop. They raise TargetUnavailable where the place cannot be reached or did not do what was asked, and
    Refused (`farcell_broker.errors`) where the policy allows no such host."""

    async def start(self, wanted: Wanted) -> dict[str, Any]:
        """Returns when the host listens. Asked again for a host that lives, it says where that is."""

    async def abandon(self, wanted: Wanted) -> None:
        """Ends what a start has left that failed, or whose answer was lost."""

    async def open_stream(self, host: Host, options: LaunchOptions) -> Opened:
        """The bytes of farcell's stream."""

    async def poll(self, host: Host, options: LaunchOptions) -> JobState:
        """Whether the host can still be there; what it has started may outlive it, and ends with `end`."""

    async def end(self, host: Host, options: LaunchOptions) -> None:
        """Ends it and all that it has started; returns when that is gone. Safe to call twice."""

    @property
    def keeps_home(self) -> bool:
        """Whether what a session saves is there for the user's next one."""
