"""All sessions of a user: on this machine, on those that ssh leads to, and jobs of clusters, whichever notebook began them.

Machines are asked side by side and without a person: one that would ask for a password is told of instead. Targets that share
a machine and a folder for sessions are one place, which is asked once; the next of its targets is tried only when the login is
not what failed, since accounts are locked for that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from farcell_host.commands import OTHER_VERSION

from . import earlier
from .backends.base import LaunchOptions, Listing, backend_named
from .backends.ssh.client import LoginRefused
from .errors import FarcellError, TargetUnavailable, UsageError
from .refs import human_bytes
from .relay.card import duration
from .tables import Table
from .targets import Target, Targets
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
    def is_settling(self) -> bool:
        """Whether its notebook may be about to say that it has what its runs have brought back."""
        is_driven = any(role == "driver" for role, _ in self.status.get("connections") or ())
        return is_driven and bool(self.status.get("untaken_runs"))


@dataclass
class Found:
    """`faults` say which places could not be asked, and why."""

    sessions: list[Session] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def look(targets: Targets, everywhere: bool) -> Found:
    """Asks this machine, and with `everywhere` all that the targets lead to. Blocks; a place that cannot be asked is a fault."""
    known = [targets.get(name) for name in targets.names]
    places = _places(known if everywhere else [each for each in known if each.name == _LOCAL])
    found = Found()
    asked = [loop_thread().submit(_ask(place)) for place in places]
    try:
        for answer in asked:
            each = answer.result()
            found.sessions += each.sessions
            found.faults += each.faults
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
    backend = backend_named(session.options.backend)
    assert isinstance(backend, Listing)
    ending = loop_thread().submit(asyncio.wait_for(backend.end(session.options, session.runtime), END_S))
    try:
        ending.result()
    except (asyncio.TimeoutError, concurrent.futures.TimeoutError):
        raise TargetUnavailable(f"{session.target!r} did not end session {session.id} in {END_S:.0f} s.") from None


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


def _places(targets: Sequence[Target]) -> list[list[LaunchOptions]]:
    """Targets by where their sessions are. Both local backends have theirs in one folder of this machine."""
    places: dict[tuple[Any, ...], list[LaunchOptions]] = {}
    for target in targets:
        options = target.launch_options()
        where: tuple[Any, ...] = (_LOCAL,)
        if not options.backend.startswith(_LOCAL):
            folder = options.state_dir if options.backend == "slurm" else options.env.get("FARCELL_RUNTIME_DIR")
            where = (options.backend, options.ssh, options.user, options.host, folder)
        places.setdefault(where, []).append(options)
    return list(places.values())


async def _ask(place: Sequence[LaunchOptions]) -> Found:
    faults: list[str] = []
    for options in place:
        backend = backend_named(options.backend)
        if not isinstance(backend, Listing):
            return Found(faults=[f"{options.target!r} was not asked: its backend {options.backend} has no list of sessions."])
        try:
            told = await asyncio.wait_for(backend.sessions(options), ASK_S)
            earlier.close_books(told)
            sessions = [Session(options, each) for each in told]
            return Found([each for each in sessions if each.left or not each.status.get("is_over")])
        except asyncio.TimeoutError:
            return Found(faults=[f"{options.target!r} was not asked: no answer in {ASK_S:.0f} s."])
        except LoginRefused as error:
            return Found(faults=[str(error)])
        except (FarcellError, OSError, ValueError) as error:
            faults.append(str(error))
    return Found(faults=faults)
