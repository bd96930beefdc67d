"""The broker backend: a lease of a shared target, and the kernel host that the broker starts for it.

The lease waits in the broker's queue as a job does in a scheduler's, so what holds for jobs holds for it: queueing has no
time-out, and after Ctrl-C it may be left there for the next cell. What has become of a session is what the broker says of its
lease.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farcell_host.reasons import Reason

from ...deaths import Death
from ...errors import TargetUnavailable
from ..base import Allocation, Ending, JobState, LaunchOptions, Opened, OpenedStream, Tell, Unreachable, untold
from .client import BrokerClient, BrokerRefusal
from .pipe import Pipe

if TYPE_CHECKING:
    from ..ssh.questions import Ask

LOOK_S = 50.0
"""So long a question waits at the broker for news: under the idle time-outs of proxies."""
AWAY_S = 2.0
MOST_BYTES = 64 << 20
"""Of a journal: the most that a broker can be told to keep."""
KEEP_S = 600.0
"""A session whose broker cannot be asked is believed to be there for so long, as its host would wait."""
USABLE = ("running", "ending")


@dataclass
class Asked:
    """A lease that was asked for. Asked again with its key it is the same one, whether the broker's first answer came or not."""

    key: str
    id: str | None = None


class BrokerBackend:
    """One session's."""

    name = "broker"
    takes_runs = False

    def __init__(self) -> None:
        self._asked: Asked | None = None
        self._client: BrokerClient | None = None

    # -- launch

    @property
    def queued(self) -> str | None:
        return f"Lease {self._asked.id}" if self._asked is not None and self._asked.id is not None else None

    async def withdraw(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and asked.id is not None and self._client is not None:
            with contextlib.suppress(BrokerRefusal):  # it is over already
                await self._client.delete(f"api/leases/{asked.id}")

    def forget(self) -> None:
        self._asked = None

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        """A lease that waits already, left there by an earlier call, is taken up."""
        client = self._client = BrokerClient.of(options)
        asked = self._asked = self._asked or Asked(uuid.uuid4().hex)
        try:
            lease = await self._wait(client, options, asked, tell)
        except BrokerRefusal:
            self._asked = None
            raise
        if lease["state"] not in USABLE:
            self._asked = None
            raise TargetUnavailable(
                f"{options.target!r}: lease {lease['id']} has ended: {lease['reason'] or 'no reason was told'}"
            )
        self._asked = None
        return _allocation(options, lease)

    async def _wait(self, client: BrokerClient, options: LaunchOptions, asked: Asked, tell: Tell) -> Mapping[str, Any]:
        """Until it is granted and its host is up, or it is over."""
        seen = ""
        while True:
            try:
                if asked.id is None:
                    tell(f"asking the broker for {options.target!r}")
                    lease = await client.post("api/leases", _request(options, asked.key))
                    asked.id = str(lease["id"])
                else:
                    lease = await client.get(f"api/leases/{asked.id}", LOOK_S + 15, wait_s=LOOK_S, seen=seen)
            except Unreachable as error:
                tell(f"{options.target!r}: {_first_line(error)} It is asked again")
                await asyncio.sleep(AWAY_S)
                continue
            if lease["state"] in (*USABLE, "releasing", "ended"):
                return dict(lease)
            seen = str(lease["seen"])
            tell(_waiting_text(options.target, lease))

    async def leave_run(self, run: str, pieces: list[bytes], again: bool) -> None:
        raise TargetUnavailable(
            "A run cannot be left with a lease that waits: keep waiting, or leave the lease for the next cell."
        )

    # -- streams

    async def open_stream(self, allocation: Allocation) -> Opened:
        details = allocation.details
        client = BrokerClient.of(allocation.options)
        pipe = Pipe(await client.stream(f"api/leases/{details['lease']}/stream?fence={details['fence']}"))
        return OpenedStream(pipe.endpoint, pipe.close)

    async def poll(self, allocation: Allocation) -> JobState:
        try:
            lease = await self._lease(allocation)
        except BrokerRefusal as error:
            return JobState.GONE if error.status == 404 else JobState.UNKNOWN
        except TargetUnavailable:
            return JobState.UNKNOWN
        is_there = lease["state"] in USABLE and lease["fence"] == allocation.details["fence"]
        return JobState.RUNNING if is_there else JobState.GONE

    async def release(self, allocation: Allocation) -> None:
        """One that the broker cannot be told of ends by itself: nobody uses it, and the broker takes back what is idle."""
        with contextlib.suppress(TargetUnavailable):
            await BrokerClient.of(allocation.options).delete(f"api/leases/{allocation.details['lease']}")

    async def leave(self, allocation: Allocation) -> None:
        """Nothing was made."""

    # -- what a scheduler knows

    async def is_put_back(self, allocation: Allocation) -> bool:
        """A lease that is over stays over: a new one is asked for."""
        return False

    async def resume(self, allocation: Allocation) -> None:
        """Of one that waits: it is looked at again by the next launch."""
        self._asked = Asked(str(allocation.details.get("key") or uuid.uuid4().hex), str(allocation.details["lease"]))

    async def journal(self, allocation: Allocation, after: int = 0) -> bytes:
        """As the broker has kept it: a host there leaves nothing, since the next one is somebody else's."""
        try:
            told = await BrokerClient.of(allocation.options).get(f"api/leases/{allocation.details['lease']}/journal")
        except BrokerRefusal as error:
            if error.status == 404:
                return b""
            raise
        return zlib.decompressobj().decompress(base64.b64decode(told["zlib"]), MOST_BYTES)

    async def obituary(self, allocation: Allocation) -> Death | None:
        try:
            lease = await self._lease(allocation)
        except TargetUnavailable:
            return None
        return Death(Reason.ENDED, f"its lease {lease['id']} has ended: {lease['reason']}") if lease["reason"] else None

    async def ending(self, allocation: Allocation) -> Ending | None:
        with contextlib.suppress(TargetUnavailable):
            lease = await self._lease(allocation)
            if lease["state"] == "ended":
                return Ending(allocation.details.get("ledger") or {}, lease.get("ended_at"), lease["reason"] or "ended")
        return None

    # -- all sessions

    async def sessions(self, options: LaunchOptions) -> list[dict[str, Any]]:
        """Of all targets of this broker, as their hosts tell it; a lease that waits, too, and one that is over if what its runs
        have shown is kept."""
        told = await BrokerClient.of(options).get("api/leases", status=1, left=1)
        return [*map(_status, told["leases"]), *map(_left, told.get("left") or ())]

    async def end(self, options: LaunchOptions, runtime: str) -> None:
        client = BrokerClient.of(options)
        told = await client.get("api/leases", left=1)
        for lease in (*told["leases"], *(told.get("left") or ())):
            if _folder(lease) == runtime:
                await client.delete(f"api/leases/{lease['id']}")

    async def _lease(self, allocation: Allocation) -> Mapping[str, Any]:
        return dict(await BrokerClient.of(allocation.options).get(f"api/leases/{allocation.details['lease']}"))


def _request(options: LaunchOptions, key: str) -> dict[str, Any]:
    """All else is the broker's policy to say."""
    return {
        "key": key,
        "target": options.lends or options.target,
        "gpus": options.resources.gpus,
        "walltime_s": options.resources.walltime_s,
        "notebook": options.notebook,
    }


def _allocation(options: LaunchOptions, lease: Mapping[str, Any]) -> Allocation:
    details = {"lease": lease["id"], "key": lease["key"], "fence": lease["fence"], "job": lease["id"], "found": time.time()}
    notices = [f"{options.target!r}: {each}" for each in lease.get("notices") or ()]
    kept = replace(options, keep_s=options.keep_s or KEEP_S)
    return Allocation(kept, _folder(lease), lease.get("pid"), None, details, tuple(notices))


def _status(lease: Mapping[str, Any]) -> dict[str, Any]:
    """As a host's own, and what is the lease's: enough to take the session over."""
    own = {
        "lease": lease["id"],
        "key": lease["key"],
        "fence": lease["fence"],
        "job": lease["id"],
        "notebook": lease["notebook"],
        "target": lease["target"],
        "is_waiting": lease["state"] in ("waiting", "granted"),
    }
    blank = {"pid": 0, "socket": "", "state": lease["state"], "found": time.time()}
    return {**blank, **(lease.get("status") or {}), **own, "runtime": _folder(lease)}


def _left(lease: Mapping[str, Any]) -> dict[str, Any]:
    """As a scheduler's backend tells of a job that is over (`slurm/folders.py`)."""
    state = str(lease["reason"] or "ended").rstrip(".")
    saved = {} if lease["saved"] is None else {"saved": {"names": lease["saved"]}}
    over = {"is_over": True, "state": state, "untaken_runs": lease["runs"], "connections": [], "is_whole": lease["is_whole"]}
    ended = {"reason": state, "at": lease["ended_at"], **saved}
    return {**_status(lease), **over, "session": lease["id"], "ended": ended, "is_waiting": False, "started": lease["granted_at"]}


def _folder(lease: Mapping[str, Any]) -> str:
    """Where its host is, or will be known to have been."""
    return str(lease.get("runtime") or f"lease-{lease['id']}")


def _waiting_text(target: str, lease: Mapping[str, Any]) -> str:
    if lease["state"] == "granted":
        return f"lease {lease['id']} on {target!r} is granted; its kernel starts"
    place = (
        "" if lease["place"] is None else f", {'next' if lease['place'] == 1 else 'number ' + str(lease['place'])} in the queue"
    )
    why = f" ({lease['reason']})" if lease.get("reason") else ""
    return f"lease {lease['id']} on {target!r} waits{place}{why}"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
