"""A lease at the broker's records, from asking to free GPUs: among ten users and among a thousand.

Everybody has used something before and holds a lease, or waits in another target's queue; what is measured is one further lease
of one user, from asking over the grant and the running host to the end. SQLite, with every commit on disk.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from pathlib import Path

from farcell_broker.database import Database
from farcell_broker.lease import Request, Who
from farcell_broker.leases import Leases
from farcell_broker.policy import parse
from figures import Figure, interleave, ratio

FEW, MANY = 10, 1000
ROUNDS, WARM_UP = 300, 20


class Pool:
    """So many users, two in three of whom hold a GPU, and the others wait where nothing is free."""

    def __init__(self, folder: Path, users: int) -> None:
        busy = users - users // 3
        targets = f"[targets.pool]\ngpus = {busy + 8}\n[targets.full]\nslots = 1\n"
        self._policy = parse(targets + '[everyone]\ntargets = ["pool", "full"]\nmax_walltime = "8h"\n')
        self.database = Database(f"sqlite:///{folder / f'{users}.sqlite'}")
        self._leases = Leases(self.database, lambda: self._policy)
        self._numbers = itertools.count()
        for number in range(users):
            self.use(f"user{number}")
        for number in range(users):
            self._ask(f"user{number}", "pool" if number < busy else "full")
        self._leases.grant()

    def _ask(self, user: str, target: str) -> str:
        return self._leases.ask(Who(user), Request(f"key{next(self._numbers)}", target, int(target == "pool"), 3600.0)).id

    def use(self, user: str) -> float:
        """One lease; seconds."""
        began = time.perf_counter()
        asked = self._ask(user, "pool")
        [lease] = [each for each in self._leases.grant() if each.id == asked]
        self._leases.running(lease.id, lease.fence, {"pid": 1})
        self._leases.release(lease.id, lease.fence, "done")
        self._leases.freed(lease.id, lease.fence)
        return time.perf_counter() - began


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pools = {str(users): Pool(Path(folder), users) for users in (FEW, MANY)}
        for pool in pools.values():
            stack.callback(pool.database.close)
        samples = interleave({name: (lambda pool=pool: pool.use("user0")) for name, pool in pools.items()}, ROUNDS, WARM_UP)  # type: ignore[misc]
        value = ratio(samples, str(MANY), str(FEW))
    return [Figure("a lease among 1,000 users, to among 10", value, 1.5, True, samples=samples)]
