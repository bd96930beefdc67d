"""What Prometheus is told: how many GPUs there are and are lent, who waits and how long, what was used. No users, no notebooks.

Counters begin with the process, as Prometheus expects. What is told is read from the database when it is asked for.
"""

from __future__ import annotations

import threading
from collections import Counter as Counts
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import bindparam, select

from .change import LEASES
from .database import Clock
from .errors import DatabaseError
from .lease import State
from .leases import Leases
from .policy import Policy
from .schema import STATE, StateRow

CONTENT_TYPE = CONTENT_TYPE_LATEST
WAITS_S = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 86400, 7 * 86400)
_LAST = select(StateRow.value).where(StateRow.name == STATE)
_CHANGED = select(LEASES).where(LEASES.c.number > bindparam("seen")).order_by(LEASES.c.number)
_OPEN = select(LEASES).where(LEASES.c.state != State.ENDED.value)


class Metrics:
    """One process's. `policy_fault` says what is wrong with the policy's file now."""

    def __init__(
        self, leases: Leases, policy: Callable[[], Policy], now: Clock, policy_fault: Callable[[], str | None] = lambda: None
    ) -> None:
        self._leases, self._policy, self._now, self._policy_fault = leases, policy, now, policy_fault
        self._seen: int | None = None
        self._held: dict[str, float] = {}
        """By lease: until when its GPU time has been counted."""
        self._lock = threading.Lock()
        self.registry = CollectorRegistry()
        self._gpus = Gauge("farcell_broker_gpus", "GPUs that the broker may lend.", ["target"], registry=self.registry)
        self._lent = Gauge("farcell_broker_gpus_lent", "GPUs that leases hold.", ["target"], registry=self.registry)
        self._open = Gauge("farcell_broker_leases", "Open leases.", ["target", "state"], registry=self.registry)
        self._longest = Gauge(
            "farcell_broker_longest_wait_seconds", "Since the oldest waiting request.", ["target"], registry=self.registry
        )
        self._waits = Histogram(
            "farcell_broker_wait_seconds", "From asking to the grant.", ["target"], buckets=WAITS_S, registry=self.registry
        )
        self._used = Counter("farcell_broker_gpu_seconds", "GPU time that leases held.", ["target"], registry=self.registry)
        self._ended = Counter("farcell_broker_leases_ended", "Leases that have ended.", ["target"], registry=self.registry)
        self._database = Gauge("farcell_broker_database_up", "Whether the database can be used.", registry=self.registry)
        self._policy_good = Gauge(
            "farcell_broker_policy_up",
            "Whether the policy's file is right; the last good one holds.",
            registry=self.registry,
        )

    def render(self) -> bytes:
        """In Prometheus' text format, CONTENT_TYPE; waits for the database, so not on an event loop."""
        with self._lock:
            self._policy_good.set(0 if self._policy_fault() else 1)
            try:
                self._read()
                self._database.set(1)
            except DatabaseError:
                self._database.set(0)
            return generate_latest(self.registry)

    def _read(self) -> None:
        now, policy = self._now(), self._policy()
        with self._leases.database.reading() as connection:
            last = connection.execute(_LAST).scalar_one()
            changed = () if self._seen is None else connection.execute(_CHANGED, {"seen": self._seen}).all()
            rows = connection.execute(_OPEN).all()
        for row in changed:
            self._count(row, now)
        for row in rows:
            if row.state != State.WAITING.value:
                self._held_until(row, now)
        self._seen = last
        for gauge in (self._gpus, self._lent, self._open, self._longest):
            gauge.clear()
        for name, target in policy.targets.items():
            here = [row for row in rows if row.target == name]
            waits = [now - row.asked_at for row in here if row.state == State.WAITING.value]
            self._gpus.labels(name).set(len(target.device_indexes))
            self._lent.labels(name).set(sum(row.gpus for row in here if row.state != State.WAITING.value))
            self._longest.labels(name).set(max(waits, default=0.0))
            for counted in (self._waits, self._used, self._ended):
                counted.labels(name)  # there from the first look on, as 0
        for (where, state), count in Counts((row.target, row.state) for row in rows).items():
            self._open.labels(where, state).set(count)

    def _count(self, row: Any, now: float) -> None:
        """What has happened to it since the last look; by the numbers of changes, which grow in the order of the commits."""
        if row.granted_at is None:
            return
        if row.id not in self._held:
            self._waits.labels(row.target).observe(row.granted_at - row.asked_at)
            self._held[row.id] = row.granted_at
        if row.state == State.ENDED.value:
            self._held_until(row, row.ended_at)
            del self._held[row.id]
            self._ended.labels(row.target).inc()

    def _held_until(self, row: Any, moment: float) -> None:
        """A lease of before this process counts from the first look on."""
        counted = self._held.get(row.id, moment)
        self._used.labels(row.target).inc(row.gpus * max(0.0, moment - counted))
        self._held[row.id] = max(moment, counted)
