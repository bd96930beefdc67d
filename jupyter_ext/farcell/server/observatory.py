"""Looks at places and hosts while somebody watches, and keeps what it has seen as a snapshot.

Everything here runs on the connection thread's loop; only `snapshot` and `server` are read elsewhere. While no page has a lease
and no request is under way there is no timer, no query and no connection: tasks are cancelled and observers closed, and the
snapshot stays as it was.

This machine's hosts are found by their locks, every second, and each is observed through a connection. Another place is asked
now and then, as `farcell sessions` asks it, and its sessions are observed too, all over one connection: each may cost a session
of its sshd, of which notebooks need some. A place that refused a login is not asked again until somebody asks for that, or has
logged in: accounts are locked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from farcell_host import runtime
from farcell_host.waiting import within

from .. import everywhere
from .. import targets as known
from .._version import __version__
from ..backends.base import LaunchOptions, backend_named
from ..backends.ssh.client import is_shared
from ..backends.trunk import Trunk, Trunked, trunk_of
from ..everywhere import Session, Unasked, Why
from ..targets import Fault as TargetFault
from ..targets import Targets
from . import faces
from .history import History
from .leases import Leases
from .observer import Observer
from .schemas import (
    EndedRun,
    LiveRun,
    PlaceFault,
    SessionDetail,
    SessionFace,
    SessionGpus,
    SessionTelemetry,
    Snapshot,
    Task,
)

HERE = "here"
"""The key of this machine among places."""
HERE_S = 1.0
THERE_S = 20.0
TOLD_THERE_S = 60.0
"""The same for a place that tells by itself when it has other sessions."""
LONGEST_THERE_S = 300.0
LOGGED_IN_S = 5.0
"""Between two looks for a login that somebody has made."""
OBSERVED_THERE = 4
"""Sessions of one place that are observed each through a connection of its own, where one for all cannot be had."""
AGAIN_S, AGAIN_HERE_S = 60.0, 10.0
"""After a connection to a session has failed."""
PUBLISH_S = 0.25
"""Between two snapshots."""
LULL = 10.0
"""So many times what the making of one has taken pass before the next, where that is longer."""
IDLE_JITTER_S = 2.0
MEMORY_STEP_BYTES = 4 << 20
"""A change of less is none."""
FIRST_LOOK_S = 1.0
DRAW_S = 0.2
"""For so long whoever begins to watch is left to show what the folders tell, unless it asks for more meanwhile, as for runs."""
FIRST_ANSWERS_S = 6.0
ASKED_AT_ONCE = 4
"""Hosts that are connected to side by side; the others wait, so that what is known already can be shown meanwhile."""
TURN_S = 0.5
"""For so long the next ones wait for a host to answer."""
REACH_S = 30.0
FIRST_S = everywhere.ASK_S + 5.0

RunState = Literal["queued", "running", "untaken"]

log = logging.getLogger("farcell")


@dataclass
class Watched:
    """A session that is known, and what has been seen of it."""

    place: str
    listed: Session
    """As its place, or its folder, tells."""
    heard_at: float
    told: Mapping[str, Any] = field(default_factory=dict)
    """What its host says over a connection."""
    observer: Observer | None = None
    failed_at: float | None = None
    needs_own: bool = False
    """It could not be reached over its place's trunk."""
    is_ending: bool = False
    idle_since: float | None = None
    ends_at: float | None = None
    gpus: SessionGpus | None = None
    history: History = field(default_factory=History)
    runs: dict[tuple[str, RunState], tuple[float, bool]] = field(default_factory=dict)
    """Since when each is in this state, and whether that was seen to begin."""
    was_heard: bool = False
    shown: tuple[SessionFace, list[LiveRun], SessionGpus] | None = None
    """What of it is in the snapshot, until anything of it changes."""

    @property
    def session(self) -> Session:
        unheard = {} if self.is_known else {"state": faces.UNHEARD}
        return Session(self.listed.options, {**self.listed.status, **self.told, **unheard, "runtime": self.listed.runtime})

    @property
    def is_live(self) -> bool:
        return self.observer is not None and self.observer.is_live

    @property
    def face(self) -> Mapping[str, Any]:
        """What its host tells at once, over a connection."""
        return self.told.get("face") or {}

    @property
    def is_known(self) -> bool:
        """Whether there is more than that its folder is locked."""
        return self.was_heard or self.observer is None or self.observer.settled.is_set()

    @property
    def ledger_id(self) -> str | None:
        """Of the session in the ledger."""
        found = self.told.get("session") or (None if "job" in self.listed.status else self.listed.status.get("session"))
        return None if found is None else str(found)

    def hear(self, now: float) -> None:
        """`now`: something new was told."""
        self.heard_at, self.shown = now, None
        status = self.session.status
        idle, ending = status.get("idle_s"), status.get("ending")
        self.idle_since = _steadied(self.idle_since, None if idle is None else now - float(idle))
        self.ends_at = _steadied(self.ends_at, None if ending is None else now + float(ending["in_s"]))
        states: list[tuple[str, RunState]] = [(str(run), "queued") for run in status.get("waiting_runs") or ()]
        states += [(str(run), "untaken") for run in status.get("untaken_runs") or ()]
        states += [(str(status["run"]), "running")] if status.get("run") is not None else []
        self.runs = {state: self.runs.get(state, (now, self.was_heard)) for state in states}
        self.was_heard = True


@dataclass
class Place:
    """Where sessions of some targets are, and how it was last found."""

    options: Sequence[LaunchOptions]
    fault: PlaceFault | None = None
    asked_at: float | None = None
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    """It is to be asked now."""
    first: asyncio.Event = field(default_factory=asyncio.Event)
    """It has been asked, or could not be, since this watch began."""
    may_log_in: bool = True
    """False once a login was refused."""
    trunk: Trunk | None = None
    """Over which its sessions are observed."""
    tells_hosts: bool = False
    """Whether that tells of sessions that come and go."""

    @property
    def names(self) -> list[str]:
        return [options.target for options in self.options]


class Observatory:
    def __init__(self, on_change: Callable[[str, int], None], root: str | None = None) -> None:
        """`on_change` is told the server and the revision of each new snapshot, on the connection thread."""
        self.server = uuid.uuid4().hex
        self._root = root
        self._on_change = on_change
        self._leases = Leases()
        self._guests = 0
        self._sessions: dict[str, Watched] = {}
        self._places: dict[str, Place] = {}
        self._targets: tuple[Targets, list[TargetFault]] = known.survey()
        self._targets_stamp = known.stamp()
        self._tasks: dict[str, Task] = {}
        self._looked_at: float | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._look_here_lock = asyncio.Lock()
        self._has_looked = asyncio.Event()
        """At this machine's folders, since this watch began."""
        self._may_connect = asyncio.Event()
        """Whoever began this watch has had the time to show what the folders tell, or somebody needs to know more."""
        self._unbegun: asyncio.Queue[tuple[Watched, Observer]] = asyncio.Queue()
        self._expiry: asyncio.TimerHandle | None = None
        self._publishing: asyncio.TimerHandle | None = None
        self._published_at = self._took_s = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self.snapshot = self._compose(0)

    # -- who watches

    async def watch(self, page: str, within_s: float) -> None:
        """Whoever asks finds its lease in the next snapshot, as with `unwatch`, and with it what this machine's folders tell.

        Hosts are asked a little later: they are many, and take this process and the machine from what is drawn first.
        """
        self._leases.take(page, asyncio.get_running_loop().time() + within_s)
        self._leases_changed()
        if self._has_looked.is_set():
            self._publish_leases()
            self._connect_all()
        else:
            await within(self._has_looked, FIRST_LOOK_S)
            self.publish_now()
            asyncio.get_running_loop().call_later(DRAW_S, self._connect_all)

    def _connect_all(self) -> None:
        """Has hosts be asked, if anybody still watches."""
        if self._watching:
            self._may_connect.set()

    async def unwatch(self, page: str) -> None:
        self._leases.give_back(page)
        self._leases_changed()
        self._publish_leases()

    def _publish_leases(self) -> None:
        """Not for a mere renewal, which changes nothing that is told."""
        if len(self._leases) != self.snapshot.watching:
            self.publish_now()

    @contextlib.asynccontextmanager
    async def visited(self, is_everywhere: bool = False) -> AsyncIterator[None]:
        """While one request needs to know: what is here has been looked at, and with `is_everywhere` all places."""
        self._guests += 1
        try:
            self._begin_or_end()
            self._may_connect.set()
            await self._look_here()
            await self._first_answers(HERE)
            if is_everywhere:
                await asyncio.gather(*(within(place.first, FIRST_S) for key, place in self._places.items() if key != HERE))
                await self._first_answers()
            self.publish_now()
            yield
        finally:
            self._guests -= 1
            self._begin_or_end()

    async def refresh(self) -> None:
        """All places are asked now, also those that have refused a login."""
        self.look_at_targets()
        for place in self._places.values():
            place.may_log_in = True
            place.nudge.set()

    async def close(self) -> None:
        """At the end of the process."""
        self._leases, self._guests = Leases(), 0
        self._leases_changed()
        if self._publishing is not None:
            self._publishing.cancel()
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _leases_changed(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        loop = asyncio.get_running_loop()
        next_at = self._leases.expire(loop.time())
        if next_at is not None:
            self._expiry = loop.call_at(next_at, self._lease_ran_out)
        self._begin_or_end()

    def _lease_ran_out(self) -> None:
        self._leases_changed()
        self.changed()

    def _begin_or_end(self) -> None:
        is_wanted = bool(self._leases or self._guests)
        if is_wanted and not self._watching:
            self._published_at = asyncio.get_running_loop().time()  # nothing is told before the first look
            self.look_at_targets()
            works = (self._watch_here, self._watch_places, *[self._begin_observers] * ASKED_AT_ONCE)
            self._watching = [asyncio.ensure_future(_kept_up(work)) for work in works]
        elif not is_wanted and self._watching:
            for task in (*self._watching, *self._looking.values()):
                task.cancel()
            self._watching, self._looking = [], {}
            self._has_looked.clear()
            self._may_connect.clear()
            self._unbegun = asyncio.Queue()
            for watched in self._sessions.values():
                self._leave(watched)
            for place in self._places.values():
                place.first.clear()
                self._close_trunk(place)

    # -- this machine

    async def _watch_here(self) -> None:
        while True:
            await self._look_here()
            nudge = self._places[HERE].nudge
            await within(nudge, HERE_S)
            nudge.clear()

    async def _look_here(self) -> None:
        """Which hosts live on this machine; each is observed."""
        async with self._look_here_lock:
            self.look_at_targets()
            hosts = await asyncio.get_running_loop().run_in_executor(None, lambda: list(runtime.live_hosts()))
            here, now = self._places[HERE], time.time()
            found = {}
            for host in hosts:
                fields = {**host.fields, "runtime": host.runtime, "pid": host.pid, "socket": host.socket}
                session = Session(here.options[0], fields)
                found[session.id] = session
            self._settle(HERE, found, now)
            here.asked_at = self._looked_at = now
            if self._watching:
                self._has_looked.set()

    async def reach(self, watched: Watched) -> None:
        """Has a connection to it, if there can be one, also where others of its place have theirs already."""
        if watched.observer is None and watched.session.has_journal and not watched.is_ending:
            self._connect(watched, None if watched.place == HERE else self._trunk_to(watched))
        if watched.observer is not None:
            await within(watched.observer.settled, REACH_S)

    async def _first_answers(self, place: str | None = None) -> None:
        """Until each observed host has answered, or is known not to; for FIRST_ANSWERS_S at most."""
        own = [each for each in self._sessions.values() if place in (None, each.place)]
        waiting = [asyncio.ensure_future(each.observer.settled.wait()) for each in own if each.observer]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=FIRST_ANSWERS_S)
            for task in late:
                task.cancel()

    # -- other places

    async def _watch_places(self) -> None:
        """A task a place; files are looked at now and then, for others."""
        while True:
            wanted = {key: place for key, place in self._places.items() if key != HERE}
            for key in [key for key in self._looking if key not in wanted]:
                self._looking.pop(key).cancel()
            for key, place in wanted.items():
                if key not in self._looking:
                    work = functools.partial(self._watch_place, key, place)
                    self._looking[key] = asyncio.ensure_future(_kept_up(work))
            await asyncio.sleep(HERE_S)

    async def _watch_place(self, key: str, place: Place) -> None:
        pause = THERE_S
        while True:
            place.nudge.clear()
            if place.may_log_in or _is_open(place.options):
                await self._ask(key, place)
            place.first.set()
            reason = place.fault.reason if place.fault is not None else None
            usual = TOLD_THERE_S if place.trunk is not None and place.trunk.is_open and place.tells_hosts else THERE_S
            pause = usual if reason is None else min(2 * pause, LONGEST_THERE_S)
            if not place.may_log_in:
                await self._until_logged_in(place)
            else:
                await within(place.nudge, None if reason == Why.UNLISTABLE.value else pause)

    async def _until_logged_in(self, place: Place) -> None:
        while not place.may_log_in and not _is_open(place.options):
            place.nudge.clear()
            await within(place.nudge, LOGGED_IN_S)

    async def _ask(self, key: str, place: Place) -> None:
        found = await everywhere.ask(place.options)
        now = time.time()
        if found.unasked:
            place.fault = _fault_of(place, found.unasked, now)
            place.may_log_in = place.fault.reason != Why.LOGIN.value
        else:
            place.fault, place.asked_at, place.may_log_in = None, now, True
            if place.trunk is not None:
                place.trunk.forgive()
            self._settle(key, {session.id: session for session in found.sessions}, now)
        self._looked_at = now
        self.changed()

    def look_at_targets(self) -> bool:
        """Whether a file has changed since."""
        stamp = known.stamp()
        if stamp == self._targets_stamp and self._places:
            return False
        self._targets, self._targets_stamp = known.survey(), stamp
        places = {_key(options): options for options in everywhere.places(self._targets[0])}
        for key, options in places.items():
            if key in self._places and list(self._places[key].options) == list(options):
                continue
            before = self._places.get(key)
            if before is not None:
                self._close_trunk(before)
            self._places[key] = Place(options, asked_at=None if before is None else before.asked_at)
            if key in self._looking:
                self._looking.pop(key).cancel()
        for key in [key for key in self._places if key not in places]:
            self._close_trunk(self._places.pop(key))
        for id, watched in list(self._sessions.items()):
            if watched.place not in self._places:
                self._drop(id)
        self.changed()
        return True

    # -- sessions

    def _settle(self, key: str, found: Mapping[str, Session], now: float) -> None:
        """What a place has now: others of it are gone."""
        for id in [id for id, watched in self._sessions.items() if watched.place == key and id not in found]:
            self._drop(id)
        for id, session in found.items():
            watched = self._sessions.get(id)
            if watched is None:
                watched = self._sessions[id] = Watched(key, session, now)
            elif watched.place != key:
                continue  # two targets lead to one machine by different names
            if watched.listed.status != session.status:
                watched.listed, watched.shown = session, None
            if key != HERE and not watched.is_live:  # what was told over a connection is older than it would look
                watched.hear(now)
        self._observe(key, now)
        self.changed()

    def _observe(self, key: str, now: float) -> None:
        """Connects to sessions of a place: to all that are here or reached over a trunk, else to some, those with runs first."""
        if not self._watching:
            return
        own = [watched for watched in self._sessions.values() if watched.place == key]
        waiting = [each for each in own if each.observer is None and not each.is_ending and each.session.has_journal]
        again_s = AGAIN_HERE_S if key == HERE else AGAIN_S
        waiting = [each for each in waiting if each.failed_at is None or now - each.failed_at > again_s]
        room = OBSERVED_THERE - sum(1 for each in own if each.observer is not None and each.observer.trunk is None)
        for watched in sorted(waiting, key=lambda each: each.session.run is None):
            trunk = None if key == HERE else self._trunk_to(watched)
            if key != HERE and trunk is None:
                if room <= 0:
                    continue
                room -= 1
            self._connect(watched, trunk)

    def _trunk_to(self, watched: Watched) -> Trunk | None:
        """Its place's; None where there can be none, or it has failed."""
        key, place, session = watched.place, self._places[watched.place], watched.listed
        backend = backend_named(session.options.backend)
        allocation = everywhere.allocation_of(session)
        if watched.needs_own or not isinstance(backend, Trunked) or backend.way(allocation) is None:
            return None
        if place.trunk is None:

            def told(hosts: list[str]) -> None:
                known = {id for id, each in self._sessions.items() if each.place == key}
                if set(hosts) != known:
                    place.nudge.set()

            place.tells_hosts = backend.tells_hosts
            place.trunk = trunk_of(backend, session.options, allocation.details, told, place.nudge.set)
        return None if place.trunk.has_failed else place.trunk

    def _close_trunk(self, place: Place) -> None:
        trunk, place.trunk = place.trunk, None
        if trunk is not None:
            self._see_to(trunk.close())

    def _connect(self, watched: Watched, trunk: Trunk | None = None) -> None:
        def told(status: Mapping[str, Any]) -> None:
            watched.told = {**status}
            watched.hear(time.time())
            self.changed()

        def gpus(said: Mapping[str, Any] | None, message: str | None) -> None:
            now = time.time()
            watched.gpus, watched.shown = faces.gpus_face(watched.session, said, message, now), None
            if said is not None:
                watched.history.add(said, now)
            self.changed()

        def away() -> None:
            watched.shown = None
            self.changed()

        def ended() -> None:
            if watched.observer is observer:
                watched.needs_own = trunk is not None and not watched.told and not trunk.has_failed
                has_way = watched.needs_own or (trunk is not None and trunk.is_useless)  # of its own, not tried yet
                watched.observer, watched.failed_at, watched.shown = None, None if has_way else time.time(), None
                if watched.place != HERE:
                    watched.told = {}
                place = self._places.get(watched.place)
                if place is not None and self._watching:
                    place.nudge.set()
                self.changed()

        watched.shown = None
        watched.observer = observer = Observer(watched.listed, told, gpus, away, ended, trunk)
        self._unbegun.put_nowait((watched, observer))

    async def _begin_observers(self) -> None:
        """One after another."""
        await self._may_connect.wait()
        while True:
            watched, observer = await self._unbegun.get()
            if watched.observer is observer:
                observer.begin()
                await within(observer.settled, TURN_S)

    def _leave(self, watched: Watched) -> None:
        observer, watched.observer, watched.failed_at, watched.shown = watched.observer, None, None, None
        if observer is not None:
            self._see_to(observer.close())

    def _see_to(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _drop(self, id: str) -> None:
        self._leave(self._sessions.pop(id))

    def watched(self, id: str) -> Watched | None:
        return self._sessions.get(id)

    def all(self) -> list[Watched]:
        return list(self._sessions.values())

    @contextlib.asynccontextmanager
    async def ending(self, watched: Watched) -> AsyncIterator[None]:
        """While somebody ends it: without a connection, which would be made anew as soon as its host is gone."""
        watched.is_ending = True
        self._leave(watched)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        try:
            yield
            if self._sessions.get(watched.session.id) is watched:
                self._drop(watched.session.id)
            self.changed()
        finally:
            watched.is_ending = False
            if watched.place in self._places:
                self._places[watched.place].nudge.set()

    # -- what is told

    @property
    def targets(self) -> tuple[Targets, list[TargetFault]]:
        """As the files have them now."""
        self.look_at_targets()
        return self._targets

    def put_task(self, task: Task, keep: int = 20) -> None:
        """A new one, or how far it is."""
        self._tasks[task.id] = task
        over = [each.id for each in self._tasks.values() if each.state != "running"]
        for id in over[: max(0, len(self._tasks) - keep)]:
            del self._tasks[id]
        self.changed()

    def task(self, id: str) -> Task | None:
        return self._tasks.get(id)

    def tasks(self) -> list[Task]:
        return list(self._tasks.values())

    def changed(self) -> None:
        """There may be something new; a snapshot is made of it soon."""
        if self._publishing is None:
            loop = asyncio.get_running_loop()
            pause_s = max(PUBLISH_S, LULL * self._took_s)
            self._publishing = loop.call_at(max(loop.time(), self._published_at + pause_s), self.publish_now)

    def fresh(self) -> Snapshot:
        """With all that is known now: for who has just changed something."""
        if self._publishing is not None:
            self.publish_now()
        return self.snapshot

    def publish_now(self) -> None:
        """Makes a snapshot if anything has changed, and tells of it."""
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        new = self._compose(self.snapshot.revision + 1)
        self._published_at = loop.time()
        self._took_s = self._published_at - began
        if _essence(new) != _essence(self.snapshot):
            self.snapshot = new
            self._on_change(self.server, new.revision)

    def _compose(self, revision: int) -> Snapshot:
        targets, problems = self._targets
        shown = [self._shown(watched) for watched in self._sessions.values()]
        faults = [place.fault for place in self._places.values() if place.fault is not None]
        return Snapshot(
            server=self.server,
            revision=revision,
            version=__version__,
            watching=len(self._leases),
            looked_at=self._looked_at,
            root=self._root,
            default_target=targets.default,
            currency=targets.currency,
            targets=faces.target_faces(
                targets,
                problems,
                {name: fault for fault in faults for name in fault.targets},
                {name: place.asked_at for place in self._places.values() for name in place.names if place.asked_at is not None},
            ),
            target_problems=[fault.text for fault in problems if fault.target is None],
            sessions=[face for face, _, _ in shown],
            faults=faults,
            runs_in_progress=[run for _, runs, _ in shown for run in runs],
            runs_ended=[run for watched in self._sessions.values() for run in ended_runs_of(watched)],
            telemetry=[gpus for _, _, gpus in shown],
            tasks=list(self._tasks.values()),
        )

    def _shown(self, watched: Watched) -> tuple[SessionFace, list[LiveRun], SessionGpus]:
        if watched.shown is None:
            face = faces.session_face(watched.session, **_as_seen(watched))
            watched.shown = face, runs_of(watched), self.gpus(watched)
        return watched.shown

    def detail(self, watched: Watched) -> SessionDetail:
        return faces.session_detail(watched.session, **_as_seen(watched))

    def gpus(self, watched: Watched) -> SessionGpus:
        return watched.gpus or faces.gpus_face(watched.session, None, _why_unasked(watched), None)

    def telemetry(self, watched: Watched, since: float) -> SessionTelemetry:
        return SessionTelemetry(**dict(self.gpus(watched)), history=watched.history.told(since))


def _as_seen(watched: Watched) -> dict[str, Any]:
    return {
        "idle_since": watched.idle_since,
        "ends_at": watched.ends_at,
        "is_live": watched.is_live,
        "as_of": watched.heard_at,
    }


def runs_of(watched: Watched) -> list[LiveRun]:
    session, face = watched.session, watched.face
    cells, requests, arriving = (face.get(name) or {} for name in ("cells", "requests", "arriving"))
    return [
        LiveRun(
            id=run,
            session=session.id,
            target=session.target,
            notebook=session.status.get("notebook"),
            state=state,
            since=since,
            seen_from_start=from_start,
            started=session.status.get("run_started") if state == "running" else None,
            cell=cells.get(run),
            request=requests.get(run),
            sent_bytes=face.get("sent_bytes") if run == face.get("run") else None,
            arrived_bytes=arriving[run][0] if run in arriving else None,
            arriving_bytes=arriving[run][1] if run in arriving else None,
        )
        for (run, state), (since, from_start) in watched.runs.items()
    ]


def ended_runs_of(watched: Watched) -> list[EndedRun]:
    return [
        EndedRun(id=each["run"], session=watched.session.id, **{name: each[name] for name in each if name != "run"})
        for each in watched.face.get("moved") or ()
    ]


def _steadied(before: float | None, now: float | None) -> float | None:
    """A moment that is told anew with each answer is the same one while it has hardly moved."""
    if before is not None and now is not None and abs(now - before) <= IDLE_JITTER_S:
        return before
    return now


def _essence(snapshot: Snapshot) -> Snapshot:
    """Without what changes all the time and tells nothing."""
    return snapshot.model_copy(
        update={
            "revision": 0,
            "looked_at": None,
            "sessions": [_steady(each) for each in snapshot.sessions],
            "targets": [each.model_copy(update={"looked_at": None}) for each in snapshot.targets],
            "telemetry": [each.model_copy(update={"at": None}) for each in snapshot.telemetry],
        }
    )


def _steady(face: SessionFace) -> SessionFace:
    memory = None if face.memory_bytes is None else round(face.memory_bytes / MEMORY_STEP_BYTES)
    return face.model_copy(update={"as_of": 0.0, "memory_bytes": memory})


async def _kept_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """What watches must not end for a fault of ours or of a backend's: it is in the log, and the watch begins anew."""
    while True:
        try:
            return await work()
        except Exception:
            log.exception("What is looked at for the panel could not be looked at")
            await asyncio.sleep(THERE_S)


def _key(options: Sequence[LaunchOptions]) -> str:
    return HERE if everywhere.is_here(options) else "\0".join(map(str, everywhere.key_of(options[0])))


def _is_open(options: Sequence[LaunchOptions]) -> bool:
    """Whether somebody has logged in there, so that asking logs in nowhere."""
    return any(is_shared(each.target, each.host, each.user, each.ssh) for each in options if each.host is not None)


def _fault_of(place: Place, unasked: Sequence[Unasked], now: float) -> PlaceFault:
    """Of the same fault as before the time is that of the first."""
    last = unasked[-1]
    text = "\n".join(each.text for each in unasked)
    if last.why is Why.LOGIN and "%remote reconnect" not in text:
        text = f"{place.names[-1]!r} needs authentication: run %remote reconnect {place.names[-1]}. {text}"
    before = place.fault
    at = before.at if before is not None and (before.reason, before.message) == (last.why.value, text) else now
    return PlaceFault(targets=place.names, reason=last.why.value, message=text, at=at)


def _why_unasked(watched: Watched) -> str:
    if watched.is_live:
        return "They have not been asked for yet."
    state, _ = faces.state_of(watched.session.status)
    if state in ("waiting", "over", "other-version", "silent"):
        return f"Its host cannot be asked: the session is {state}."
    return "There is no connection to ask over: sessions elsewhere have one only while they are watched."
