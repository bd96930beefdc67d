"""The broker's records with a clock of the test's own, in words a test can be read in."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farcell_broker.database import Database
from farcell_broker.lease import Lease, Request, State, Who
from farcell_broker.leases import Leases
from farcell_broker.policy import Policy, parse

HOUR = 3600.0
DAY = 24 * HOUR
NOON = 1_800_014_400.0
"""2027-01-15 12:00 UTC."""
POOL = """
currency = "EUR"
[targets.pool]
gpus = 8
price_per_gpu_hour = 2.0
[everyone]
targets = ["pool"]
max_walltime = "8h"
"""


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Office:
    """Leases under a policy that the test may rewrite."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    policy: Policy = field(default_factory=lambda: parse(POOL))
    groups: dict[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def at(cls, url: str, clock: Clock | None = None) -> Office:
        """Another process's, as it were. Its database is the test's to close."""
        return cls(Database(url), clock or Clock())

    def __post_init__(self) -> None:
        self.leases = Leases(self.database, lambda: self.policy, self.clock)
        self._keys = itertools.count()

    def rules(self, text: str) -> None:
        """From now on."""
        self.policy = parse(text)

    def also(self, text: str) -> None:
        """The pool's policy, and this."""
        self.policy = parse(POOL + text)

    def who(self, user: str) -> Who:
        return Who(user, self.groups.get(user, frozenset()))

    def ask(self, user: str, gpus: int = 1, hours: float | None = None, target: str = "pool", **more: Any) -> Lease:
        more.setdefault("key", f"key-{next(self._keys)}")
        walltime_s = None if hours is None else hours * HOUR
        return self.leases.ask(self.who(user), Request(target=target, gpus=gpus, walltime_s=walltime_s, **more))

    def passes(self, hours: float) -> None:
        self.clock.now += hours * HOUR

    def run(self, lease: Lease) -> Lease:
        """Its host is up, and somebody has attached."""
        self.leases.running(lease.id, lease.fence, {"pid": 1})
        return self.leases.active(lease.id, lease.fence)

    def start(self, user: str, gpus: int = 1, hours: float | None = None, **more: Any) -> Lease:
        """Asked for, granted, and in use."""
        asked = self.ask(user, gpus, hours, **more)
        [granted] = [lease for lease in self.leases.grant() if lease.id == asked.id]
        return self.run(granted)

    def end(self, lease: Lease, reason: str = "done") -> Lease:
        self.leases.release(lease.id, lease.fence, reason)
        return self.leases.freed(lease.id, lease.fence)

    def granted(self) -> list[str]:
        """Users who get something now, in order."""
        return [lease.user for lease in self.leases.grant()]

    def queue(self, target: str = "pool") -> list[str]:
        """Users who wait, the next first."""
        waiting = [lease for lease in self.leases.all({State.WAITING}) if lease.target == target]
        return [lease.user for lease in sorted(waiting, key=lambda lease: lease.place or 0)]

    def due(self) -> list[tuple[str, str, str]]:
        return [(found.lease.user, found.what, found.reason) for found in self.leases.due()]

    def tell(self, who: Who) -> None:
        """The hub says that the user is in these groups now."""
        self.groups[who.name] = who.groups
        self.leases.seen(who)


def in_processes(url: str, policy: Path, users: Iterable[Iterable[str]]) -> list[list[str]]:
    """Each list of users asks for one GPU and grants, all at once, in a process of its own; returns what was granted where."""
    program = Path(__file__).with_name("asking_at_once.py")
    started = [
        subprocess.Popen(
            [sys.executable, str(program), url, str(policy), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for names in users
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = []
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found.append(out.split())
    return found
