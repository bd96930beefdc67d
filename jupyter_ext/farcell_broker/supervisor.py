"""What happens to leases without anybody asking: they are granted, their hosts are started, watched, warned and ended, and their
GPUs are given back when nothing runs on them any more.

All that must outlive the broker is in the database; what is here is only who is busy with which lease. A broker that starts asks
the hosts first what lives: until then nothing is granted, since what it knew of GPUs may be old.

With the database gone nothing is granted and nothing ends: sessions go on, since the relay does not ask the database for them.

Of several brokers on one database one does all this (`lead.py`). The others see what changes, and wait for the lead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypeVar

from farcell.errors import TargetUnavailable
from farcell.ledger import RunReport
from farcell.recorder import reports_of
from farcell_host.waiting import within

from .errors import BrokerError, DatabaseError, Stale
from .lease import USABLE, Lease, State
from .leases import GIVEN_BACK
from .news import News
from .quotas import GONE

if TYPE_CHECKING:
    from .hosts import Hosts
    from .lead import Lead
    from .leases import Leases
    from .policy import SharedTarget
    from .reading import Journal

T = TypeVar("T")
LOOK_S = 5.0
"""So often everything is looked at; a new request is looked at when it comes."""
PEEK_S = 1.0
"""So often it is asked whether another broker has changed something."""
WATCH_S = 15.0
"""So often a host is asked what it does."""
FREE_S = 1.0
"""So often it is asked whether an ended host's GPUs are free."""
USAGE_S = 3.0
MOST_RUNS = 250
"""Of one answer: a host is under its user's hand."""
GRACE_S = 60.0
"""For a session to save what it has."""
JOURNAL_S = 10.0
SAVED_S = 900.0
"""A save ends within that (hosts.py), and the host then."""

log = logging.getLogger("farcell.broker")


class Supervisor:
    """One a broker; `run` goes on until it is cancelled."""

    def __init__(
        self,
        leases: Leases,
        hosts: Hosts,
        target_of: Callable[[str], SharedTarget],
        news: News,
        pool: Executor,
        on_gone: Callable[[Lease, str], None] = lambda lease, reason: None,
        now: Callable[[], float] = time.time,
        account: Callable[[str, list[RunReport]], None] = lambda lease_id, reports: None,
        in_use: Callable[[], Collection[str]] = tuple,
        keep: Callable[[Lease, Journal], None] | None = None,
        most_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        """`target_of` raises KeyError for a target that policy has no more; `on_gone` is told when a lease must not be used;
        `account`, in the thread pool, what its runs have used; `in_use` says which leases have streams here; `keep`, in the
        thread pool, takes at most `most_bytes` of what runs have shown whose results nobody has taken."""
        self._account, self._in_use = account, in_use
        self._keep, self._most_bytes = keep, most_bytes
        self._kept: set[tuple[str, int]] = set()
        self._lead: Lead | None = None
        self._leases, self._hosts, self._target_of = leases, hosts, target_of
        self._news, self._pool, self._on_gone, self._now = news, pool, on_gone, now
        self._busy: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._watched_at: dict[str, float] = {}
        self.fault: str | None = None
        """Why nothing is granted, while that is so."""
        self.has_looked = False
        """Whether it is known what lives."""
        self.leads = False
        """Whether this broker is the one that does it all."""

    def wake(self) -> None:
        """Something was asked for, or given back."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._lead_or_follow()
                self._settled(None)
            except BrokerError as error:
                self._settled(str(error))
            except Exception:
                log.exception("The broker's look at its leases has failed; it looks again")
            await self._next_look()

    async def close(self) -> None:
        """What it is busy with stops where it is; the next broker takes it up. No host is ended."""
        await self._lay_down()
        if self._lead is not None:
            await self._call(self._lead.close)

    async def _lead_or_follow(self) -> None:
        leads = False
        try:
            if self._lead is None:
                self._lead = await self._call(self._leases.database.lead)
            leads = await self._call(self._lead.take)
        finally:
            if self.leads and not leads:
                log.warning("Another broker may lead by now: what was begun here is left to it")
                await self._lay_down()
        if leads and not self.leads:
            log.info("This broker leads: it looks at what lives before it grants")
        self.leads = leads
        if not leads:
            await self._drop_what_is_over()
            return
        if not self.has_looked:
            await self._take_up()
        await self._look()

    async def _lay_down(self) -> None:
        self.leads = self.has_looked = False
        busy = list(self._busy.values())
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    async def _next_look(self) -> None:
        """Returns when it is time for it, something was asked for here, or another broker has changed something."""
        deadline = time.monotonic() + LOOK_S
        while not self._wake.is_set() and (left := deadline - time.monotonic()) > 0:
            await within(self._wake, min(left, PEEK_S))
            try:
                if await self._call(self._leases.changed_elsewhere):
                    self._news.tell()
                    return
            except BrokerError:  # the look itself says so
                continue

    async def _drop_what_is_over(self) -> None:
        """Streams of leases that another broker has ended."""
        usable = {lease.id for lease in await self._call(self._leases.all, USABLE)}
        for id in set(self._in_use()) - usable:
            lease = await self._call(self._leases.get, id)
            self._on_gone(lease, lease.reason or "the lease has ended")

    def _settled(self, fault: str | None) -> None:
        if fault != self.fault:
            log.warning("Nothing is granted: %s", fault) if fault else log.warning("The database answers again")
            self.fault = fault
            self._news.tell()

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*arguments))

    async def _take_up(self) -> None:
        """What an earlier broker has left: hosts that were being started are looked for, those that live are kept."""
        for lease in await self._call(self._leases.all, USABLE | {State.GRANTED, State.RELEASING}):
            if lease.state is State.GRANTED:
                self._do(lease, self._start(lease))
            elif lease.state is State.RELEASING:
                self._do(lease, self._free(lease))
            else:
                await self._watch(lease)
        self.has_looked = True

    async def _look(self) -> None:
        for lease, what, reason in await self._call(self._leases.due, self._now()):
            if what == "warn":
                self._do(lease, self._warn(lease, reason))
            else:
                self._do(lease, self._end(lease, reason))
        granted = await self._call(self._leases.grant, await self._foreign())
        for lease in granted:
            self._do(lease, self._start(lease))
        if granted:
            self._news.tell()
        for lease in await self._call(self._leases.all, USABLE | {State.GRANTED, State.RELEASING}):
            if lease.state is State.RELEASING:
                self._do(lease, self._free(lease))
            elif lease.state is State.GRANTED:  # granted by another process of the broker that is gone since
                self._do(lease, self._start(lease))
            elif self._now() - self._watched_at.get(lease.id, 0.0) >= WATCH_S:
                self._do(lease, self._watch(lease))

    async def _foreign(self) -> dict[str, set[int] | None]:
        """By target that somebody waits for: GPUs with processes on them that are no lease's; None where that cannot be asked."""
        open_leases = await self._call(self._leases.all)
        found: dict[str, set[int] | None] = {}
        for name in {lease.target for lease in open_leases if lease.is_waiting}:
            try:
                target = self._target_of(name)
                busy = await self._hosts.busy_devices(target) if target.device_indexes else set()
            except KeyError:
                continue
            except (TargetUnavailable, OSError) as error:
                log.warning("The GPUs of %s cannot be asked: %s", name, error)
                busy = None
            held = {device for lease in open_leases if lease.target == name and lease.holds for device in lease.devices}
            found[name] = None if busy is None else busy - held
        return found

    def _do(self, lease: Lease, work: Coroutine[Any, Any, None]) -> None:
        """One thing at a time for each lease; what comes while it is busy is seen at the next look."""
        key = (lease.id, lease.fence)
        if key in self._busy:
            work.close()
            return
        task = self._busy[key] = asyncio.ensure_future(self._guarded(lease, work))
        task.add_done_callback(lambda _: self._busy.pop(key, None))

    async def _guarded(self, lease: Lease, work: Awaitable[None]) -> None:
        try:
            await work
        except Stale:
            log.info("Lease %s has changed meanwhile; what was done for it is over", lease.id)
        except DatabaseError as error:
            self._settled(str(error))
        except Exception:
            log.exception("Lease %s of %s on %s", lease.id, lease.user, lease.target)

    # -- one lease

    async def _start(self, lease: Lease) -> None:
        try:
            host = await self._hosts.start(lease, self._target_of(lease.target))
        except KeyError:
            await self._let_go(lease, GONE)
            return
        except Exception as error:
            log.warning("Lease %s: no host on %s: %s", lease.id, lease.target, error)
            reason = f"Its kernel host on {lease.target!r} did not start: {error}"
            await self._let_go(lease, reason)
            return
        try:
            await self._persist(lambda: self._leases.running(lease.id, lease.fence, host))
        except Stale:
            await self._hosts.end(host)
            raise
        self._news.tell()

    async def _watch(self, lease: Lease) -> None:
        """Whether its host is there, and whether anybody uses it."""
        if lease.host is None:
            return
        self._watched_at[lease.id] = self._now()
        try:
            status = await self._hosts.status(lease.host)
        except TargetUnavailable as error:  # it may be there, and work on
            log.info("The host of lease %s on %s cannot be asked: %s", lease.id, lease.target, error)
            return
        if status is None:
            await self._let_go(lease, "its kernel host has ended")
        elif status["is_answering"] and _is_active(status):
            await self._call(self._leases.active, lease.id, lease.fence)
            await self._count(lease)

    async def _count(self, lease: Lease) -> None:
        """What its runs have used, as the host tells; a host that tells nothing is no reason to wait."""
        if lease.host is None:
            return
        try:
            said = await self._hosts.ask(lease.host, "usage", USAGE_S, recent=True)
            reports = [report for report in reports_of(said) if isinstance(report, RunReport)][-MOST_RUNS:]
            await self._call(self._account, lease.id, reports)
        except (TargetUnavailable, OSError, BrokerError) as error:
            log.info("What the runs of lease %s have used is not known: %s", lease.id, error)

    async def _warn(self, lease: Lease, reason: str) -> None:
        """In the notebook that uses it, too."""
        await self._call(self._leases.warn, lease.id, lease.fence, reason)
        self._news.tell()
        if lease.host is not None:
            try:
                await self._hosts.tell(lease.host, f"{reason} What only it has is saved then.")
            except (TargetUnavailable, OSError) as error:
                log.info("The notebook of lease %s cannot be told: %s", lease.id, error)

    async def _end(self, lease: Lease, reason: str) -> None:
        """Told to save what only it has, then ended."""
        if lease.host is not None:
            await self._count(lease)
            await self._call(self._leases.ending, lease.id, lease.fence, reason)
            self._news.tell()
            reading = asyncio.ensure_future(self._keep_journal(lease, SAVED_S))
            try:
                await self._hosts.save_and_end(lease.host, GRACE_S, reason)
            except Exception as error:
                log.warning("The host of lease %s could not save: %s", lease.id, error)
            except asyncio.CancelledError:
                reading.cancel()
                raise
            await within_s(reading, JOURNAL_S)
        await self._let_go(lease, reason)

    async def _keep_journal(self, lease: Lease, until_end_s: float = 0.0) -> None:
        """What its runs have shown, if nobody has taken their results: it goes with the host. With `until_end_s` also what the
        host says until it is gone, as long as that is not too long."""
        most_bytes, key = self._most_bytes(), (lease.id, lease.fence)
        if lease.host is None or self._keep is None or most_bytes <= 0 or key in self._kept:
            return
        try:
            journal = await self._hosts.journal(lease.host, most_bytes, until_end_s or JOURNAL_S, until_end_s > 0)
            if journal.runs:
                await self._call(self._keep, lease, journal)
            self._kept.add(key)
        except (TargetUnavailable, OSError, BrokerError) as error:
            log.info("What the runs of lease %s have shown is not kept: %s", lease.id, error)

    async def _let_go(self, lease: Lease, reason: str) -> None:
        await self._persist(lambda: self._leases.release(lease.id, lease.fence, reason))
        self._on_gone(lease, reason)
        self._news.tell()
        await self._free(lease)

    async def _free(self, lease: Lease) -> None:
        """Its GPUs are free when no process is on them any more, and not a moment earlier."""
        self._on_gone(lease, lease.reason or "the lease has ended")
        await self._count(lease)
        if lease.reason != GIVEN_BACK:  # whoever gives it back wants nothing more of it
            await self._keep_journal(lease)
        while lease.granted_at is not None:
            try:
                await self._end_host(lease)
                break
            except (TargetUnavailable, OSError) as error:
                log.warning("Lease %s holds what it had: %s", lease.id, error)
                await asyncio.sleep(LOOK_S)
        while lease.devices and lease.granted_at is not None:
            busy = await self._hosts.busy_devices(self._place_of(lease))
            if busy is not None and not busy.intersection(lease.devices):
                break
            await asyncio.sleep(FREE_S)
        await self._persist(lambda: self._leases.freed(lease.id, lease.fence))
        self._watched_at.pop(lease.id, None)
        self._kept.discard((lease.id, lease.fence))
        self._news.tell()
        self.wake()

    async def _end_host(self, lease: Lease) -> None:
        """Also of a lease that ended before anybody heard that its host is up: it would be there when its GPUs are another's."""
        place = self._place_of(lease)
        if lease.host is not None:
            await self._hosts.end(lease.host)
        else:
            await self._hosts.abandon(lease, place)

    def _place_of(self, lease: Lease) -> SharedTarget:
        """Also when policy has its target no more, or has it elsewhere."""
        try:
            now = self._target_of(lease.target)
        except KeyError:
            now = None
        return self._hosts.place_of(lease, now)

    async def _persist(self, write: Callable[[], Any]) -> None:
        """Until the database has it: what has happened to a host has happened."""
        while True:
            try:
                await self._call(write)
                return
            except DatabaseError as error:
                if not error.is_passing:
                    raise
                self._settled(str(error))
                await asyncio.sleep(LOOK_S)


async def within_s(work: asyncio.Future[None], timeout_s: float) -> None:
    """What has not come to its end by then is left."""
    await asyncio.wait([work], timeout=timeout_s)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def _is_active(status: Mapping[str, Any]) -> bool:
    """A host says how long nobody has used it, or that something runs."""
    return bool(status.get("run") or status.get("waiting_runs")) or float(status.get("idle_s") or 0.0) < WATCH_S
