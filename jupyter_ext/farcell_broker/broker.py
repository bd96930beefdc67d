"""What a running broker consists of, for its handlers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .accounting import Accounting
from .audit import Audit
from .auth import Remembering
from .errors import BrokerError
from .hosts import Hosts
from .journals import Journals
from .lease import Lease, Who
from .leases import Leases
from .news import News
from .policy import Policy, SharedTarget
from .relay import LEASE_GONE, Relay
from .supervisor import Supervisor

T = TypeVar("T")
READ_AT_ONCE = 10
log = logging.getLogger("farcell.broker")


@dataclass
class Broker:
    leases: Leases
    hosts: Hosts
    audit: Audit
    policy: Callable[[], Policy]
    gate: Remembering
    news: News
    pool: Executor
    prefix: str = "/"
    policy_fault: Callable[[], str | None] = lambda: None
    """What is wrong with the policy's file now."""
    supervisor: Supervisor = field(init=False)
    journals: Journals = field(init=False)
    relays: dict[str, set[Relay]] = field(default_factory=dict)
    """By lease."""
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READ_AT_ONCE))
    """A class of many that reads a session's values at the same moment waits for its turn."""

    def __post_init__(self) -> None:
        self.journals = Journals(self.leases.database, time.time)
        accounting = Accounting(self.leases.database, self.policy, time.time)
        self.supervisor = Supervisor(
            self.leases,
            self.hosts,
            self._target,
            self.news,
            self.pool,
            self.close_streams,
            account=accounting.record,
            in_use=self.relays.keys,
            keep=lambda lease, journal: self.journals.keep(lease, journal, self.policy().left.keep_s),
            most_bytes=lambda: int(self.policy().left.mib * 2**20),
        )

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """A short transaction, on a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, lambda: function(*arguments))

    def known(self, who: Who) -> Who:
        """As policy sees it: it may make administrators of users."""
        return Who(who.name, who.groups, self.policy().is_admin(who))

    def close_streams(self, lease: Lease, reason: str) -> None:
        for relay in tuple(self.relays.get(lease.id, ())):
            relay.close(LEASE_GONE, reason)

    async def note(self, who: Who, action: str, lease: Lease, **detail: Any) -> None:
        """For the audit log; what cannot be noted now is in the log of the service."""
        try:
            await self.call(lambda: self.audit.record(who.name, action, lease.id, lease.target, **detail))
        except BrokerError as error:
            log.warning("%s of lease %s by %s is not in the audit log: %s", action, lease.id, who.name, error)

    def _target(self, name: str) -> SharedTarget:
        return self.policy().targets[name]
