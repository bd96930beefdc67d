"""Words for tests of hosts that a broker starts: targets of a policy, leases, and a user who runs code in a lent host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from farcell.backends.base import Opened
from farcell_broker.hosts import Hosts
from farcell_broker.lease import Lease, State
from farcell_broker.policy import SharedTarget
from farcell_host.stream import Stream
from hostclient import Driver, LaunchedHost

T = TypeVar("T")


def shared(**keys: Any) -> SharedTarget:
    """A target of a policy, with two GPUs."""
    return SharedTarget(**{"name": "pool", "gpus": 2, "isolation": "none", **keys})


def lease(user: str = "ann", fence: int = 1, **fields: Any) -> Lease:
    """Granted, with GPU 1 of the target. Its end is that of all on the machine that has its id: of this process's tests alone."""
    given: dict[str, Any] = {
        "id": f"lease-of-{user}-{os.getpid()}", "key": "k", "user": user, "groups": (), "target": "pool",
        "gpus": 1, "devices": (1,),
        "fence": fence, "state": State.GRANTED, "asked_at": 0.0, "notebook": "work.ipynb", **fields,
    }  # fmt: skip
    return Lease(**given)


class Lender:
    """The broker's hosts on a loop of the test's own."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.hosts = hosts or Hosts()
        self._started: list[dict[str, Any]] = []

    def do(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, timeout_s))

    def start(self, lent: Lease, target: SharedTarget) -> dict[str, Any]:
        host = self.do(self.hosts.start(lent, target), 120)
        self._started.append(host)
        return host

    def is_there(self, host: dict[str, Any]) -> bool:
        return self.do(self.hosts.status(host)) is not None

    @contextmanager
    def driver(self, host: dict[str, Any], **options: Any) -> Iterator[LentDriver]:
        """Whoever holds the lease, at the broker's end of the stream."""
        driver = LentDriver(self, host, **options)
        try:
            yield driver
        finally:
            driver.close()

    def run(self, host: dict[str, Any], code: str) -> str:
        """What the code prints."""
        with self.driver(host, takeover=True) as driver:
            return driver.run(code).check().text.strip()

    def close(self) -> None:
        for host in self._started:
            self.do(self.hosts.end(host))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class LentDriver(Driver):
    def __init__(self, lender: Lender, host: dict[str, Any], **options: Any) -> None:
        self._lender, self._host = lender, host
        self._opened: Opened | None = None
        super().__init__(LaunchedHost(Path(host["runtime"]), {}), descriptors=False, **options)

    def connect(self) -> None:
        if self.loop is not self._lender.loop:
            self.loop.close()
        self.loop = self._lender.loop
        super().connect()

    async def _open(self) -> None:
        self._opened = await self._lender.hosts.open_stream(self._host)
        self.stream = Stream(self._opened.endpoint, self.client.take, self._received, self._lost)
        self.stream.wake()

    def _end_bridge(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def close(self) -> None:
        """The loop is the lender's, which goes on."""
        self.cut()
