"""All sessions of a user: on this machine, on those that ssh leads to, and jobs of clusters, whichever notebook began them.

Machines are asked side by side and without a person: one that would ask for a password is told of instead. Targets that share
a machine and a folder for sessions are one place, which is asked once; the next of its targets is tried only when the login is
not what failed, since accounts are locked for that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from farcell_host.commands import OTHER_VERSION
from farcell_host.waiting import result_within

from . import earlier
from .backends.base import Allocation, LaunchOptions, Listing, backend_named
from .backends.ssh.client import LoginRefused
from .errors import FarcellError, TargetUnavailable, UsageError
from .refs import human_bytes
from .relay.card import duration
from .tables import Table
from .targets import Targets
from .threads import loop_thread

_LOCAL = "local"
ASK_S = 60.0
"""For one place: a login over a slow line and a first copy of the kernel host."""
END_S = 60.0
TAKEN_S = 0.3
"""Within it a connected notebook says that it has what a run has brought back: not at once, to spare its cells the time."""


@dataclass(frozen=True)
class Session:
    """One live session, as its host tells. `options`: of a target that leads to it."""

    options: LaunchOptions
    status: Mapping[str, Any]

    @property
    def runtime(self) -> str:
        return str(self.status["runtime"])

    @property
    def id(self) -> str:
        return PurePosixPath(self.runtime).name

    @property
    def target(self) -> str:
        """What its notebook calls it."""
        return str(self.status.get("target") or self.options.target)

    @property
    def run(self) -> str | None:
        found = self.status.get("run")
        return None if found is None else str(found)

    @property
    def where(self) -> str:
        """The machine, in words."""
        job, node = self.status.get("job"), self.status.get("node")
        machine = str(node or self.options.host or "this machine")
        return f"{machine} (job {job})" if job else machine

    @property
    def left(self) -> list[str]:
        """Runs that are lost when it ends: not begun, in progress, or with results that nobody has taken."""
        going = [self.run] if self.run is not None else []
        return [*going, *map(str, self.status.get("waiting_runs") or ()), *map(str, self.status.get("untaken_runs") or ())]

    @property
    def has_journal(self) -> bool:
        """Whether its host can be asked for what its runs have shown."""
        status = self.status
        return not (status.get("is_over") or status.get("is_waiting") or status.get("state") == OTHER_VERSION)

    @property
    def is_settling(self) -> bool:
        """Whether its notebook may be about to say that it has what its runs have brought back."""
        is_driven = any(role == "driver" for role, _ in self.status.get("connections") or ())
        return is_driven and bool(self.status.get("untaken_runs"))


class Why(str, Enum):
    """Of a place that was not asked; a word for programs."""

    LOGIN = "needs-authentication"
    TIMEOUT = "timeout"
    UNLISTABLE = "unlistable"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Unasked:
    """A place that could not be asked, and why."""

    text: str
    why: Why = Why.UNREACHABLE


@dataclass
class Found:
    """`unasked` says which places could not be asked, and why."""

    sessions: list[Session] = field(default_factory=list)
    unasked: list[Unasked] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [each.text for each in self.unasked]


def look(targets: Targets, everywhere: bool) -> Found:
    """Asks this machine, and with `everywhere` all that the targets lead to. Blocks; a place that cannot be asked is a fault."""
    asked = [loop_thread().submit(ask(place)) for place in places(targets) if everywhere or is_here(place)]
    found = Found()
    try:
        for answer in asked:
            each = answer.result()
            found.sessions += each.sessions
            found.unasked += each.unasked
    finally:
        for answer in asked:
            answer.cancel()
    return found


def look_to_end(targets: Targets, everywhere: bool) -> Found:
    """As `look`, once what is settling has settled."""
    found = look(targets, everywhere)
    if any(each.is_settling for each in found.sessions):
        time.sleep(TAKEN_S)
        found = look(targets, everywhere)
    return found


def choose(found: Found, id: str, yes: bool = False, hint: str = "") -> Session:
    """By the beginning of its id; UsageError when that is none or several, or when runs would be lost and `yes` is not said."""
    chosen = [each for each in found.sessions if each.id.startswith(id) or each.id.removeprefix("s-").startswith(id)]
    if len(chosen) != 1:
        known = ", ".join(each.id for each in found.sessions) or "none"
        unasked = f" Not asked: {'; '.join(found.faults)}" if found.faults else ""
        raise UsageError(f"Say which session by the beginning of its id{hint}. Found: {known}.{unasked}")
    session = chosen[0]
    if session.status.get("state") == OTHER_VERSION and not yes:
        raise UsageError(
            f"Session {session.id} on {session.target!r} is of farcell {session.status.get('version')}, whose runs cannot be "
            "asked for here. --yes ends it with all that it has."
        )
    if session.left and not yes:
        runs = ", ".join(run[:8] for run in session.left)
        raise UsageError(
            f"Session {session.id} on {session.target!r} has runs that end with it: {runs}. --yes ends it all the same."
        )
    return session


def end(session: Session) -> None:
    """Ends it with all that it has; raises TargetUnavailable when it cannot be told."""
    loop_thread().submit(ending(session)).result()


async def ending(session: Session) -> None:
    """As `end`, on the connection thread's loop."""
    backend = backend_named(session.options.backend)
    assert isinstance(backend, Listing)
    try:
        await result_within(backend.end(session.options, session.runtime), END_S)
    except asyncio.TimeoutError:
        raise TargetUnavailable(f"{session.target!r} did not end session {session.id} in {END_S:.0f} s.") from None


def allocation_of(session: Session) -> Allocation:
    """For a connection to its host; since when it is found is since when a scheduler's answers count."""
    status = {"found": time.time(), **session.status}
    return Allocation(session.options, session.runtime, status.get("pid"), status.get("socket"), status)


def table(found: Found) -> Table:
    rows = [
        [
            each.id,
            each.target,
            each.where,
            each.status.get("notebook"),
            each.status.get("state"),
            duration(each.status["idle_s"]) if "idle_s" in each.status else None,
            each.run[:8] if each.run is not None else None,
            _memory(each.status),
        ]
        for each in found.sessions
    ]
    return Table("All sessions", ["session", "target", "machine", "notebook", "state", "idle", "run", "memory"], rows, "none")


def _memory(status: Mapping[str, Any]) -> str | None:
    """Of the host and its kernel; a host of an older farcell tells only its own."""
    parts = [status[key] for key in ("memory_bytes", "kernel_memory_bytes") if status.get(key) is not None]
    return human_bytes(sum(parts)) if parts else None


def places(targets: Targets) -> list[list[LaunchOptions]]:
    """Targets by where their sessions are. Both local backends have theirs in one folder of this machine."""
    found: dict[tuple[Any, ...], list[LaunchOptions]] = {}
    for name in targets.names:
        options = targets.get(name).launch_options()
        found.setdefault(key_of(options), []).append(options)
    return list(found.values())


def key_of(options: LaunchOptions) -> tuple[Any, ...]:
    """The same for all targets of a place."""
    if options.backend.startswith(_LOCAL):
        return (_LOCAL,)
    if options.backend == "broker":
        return (options.backend, options.url)
    folder = options.state_dir if options.backend == "slurm" else options.env.get("FARCELL_RUNTIME_DIR")
    return (options.backend, options.ssh, options.user, options.host, folder)


def is_here(place: Sequence[LaunchOptions]) -> bool:
    """Whether it is this machine itself."""
    return place[0].backend.startswith(_LOCAL)


async def ask(place: Sequence[LaunchOptions]) -> Found:
    """On the connection thread's loop; nobody is asked for a password."""
    unasked: list[Unasked] = []
    for options in place:
        backend = backend_named(options.backend)
        if not isinstance(backend, Listing):
            text = f"{options.target!r} was not asked: its backend {options.backend} has no list of sessions."
            return Found(unasked=[Unasked(text, Why.UNLISTABLE)])
        try:
            told = await result_within(backend.sessions(options), ASK_S)
            earlier.close_books(told)
            sessions = [Session(options, each) for each in told]
            return Found([each for each in sessions if each.left or not each.status.get("is_over")])
        except asyncio.TimeoutError:
            text = f"{options.target!r} was not asked: no answer in {ASK_S:.0f} s."
            return Found(unasked=[Unasked(text, Why.TIMEOUT)])
        except LoginRefused as error:
            return Found(unasked=[Unasked(str(error), Why.LOGIN)])
        except (FarcellError, OSError, ValueError) as error:
            unasked.append(Unasked(str(error)))
    return Found(unasked=unasked)
