"""Sessions that an earlier kernel of the same notebook left behind: it crashed or was restarted.

Their object numbers mean nothing to a new kernel, so one that is idle holds nothing anybody can reach and is ended. One
that runs a cell, or has run one whose results nobody has taken, is left alone, and the person is told how to attach to it. One
that a notebook drives is not an earlier one: two notebooks may have the same name.
On another machine an idle one is left to end by itself (`keep_s`): a notebook of the same name may sit on a third machine. A
job that is idle costs, so it is told of.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from farcell_host import __version__, runtime
from farcell_host.commands import OTHER_VERSION, SILENT, ask_status
from farcell_host.protocol.messages import Buffer, Message
from farcell_host.waiting import result_within

from .backends.base import Allocation, Backend, Ending, LaunchOptions, Listing, ShellBackend
from .conflicts import ID_LENGTH
from .errors import FarcellError

if TYPE_CHECKING:
    from .backends.ssh.questions import Ask

LIST_TIMEOUT_S = 60.0
_own: set[str] = set()


def own(folder: str) -> None:
    """This process's own session: not an earlier one."""
    _own.add(PurePosixPath(folder).name)


def is_own(folder: str) -> bool:
    return PurePosixPath(folder).name in _own


async def settle(backend: Backend, options: LaunchOptions, ask: Ask | None = None) -> list[str]:
    """Ends what is idle; what to say about the rest. `ask` is that of `Backend.launch`; TargetUnavailable where a login fails."""
    if not options.notebook:
        return []
    if not options.backend.startswith("local"):
        return await _told_over_there(backend, options, ask)
    said = []
    loop = asyncio.get_running_loop()
    for host in runtime.live_hosts():
        if is_own(host.runtime) or host.fields.get("notebook") != options.notebook:
            continue
        status = await loop.run_in_executor(None, ask_status, host)
        if is_driven(status):
            continue  # two kernels have one notebook's name
        left = left_in(host, status)
        said += [_told(run) for run in left]
        if status["state"] == OTHER_VERSION:
            said.append(other_version(status))
        elif not left and status["state"] != SILENT:
            await backend.release(Allocation(options, host.runtime, host.pid, host.socket))
    return said


async def _told_over_there(backend: Backend, options: LaunchOptions, ask: Ask | None) -> list[str]:
    if not isinstance(backend, Listing):
        return []
    if isinstance(backend, ShellBackend):  # who may be asked is asked first: a login without anybody would be refused before
        await backend.shell(options, ask)
    try:
        statuses = await result_within(backend.sessions(options), LIST_TIMEOUT_S)
    except (FarcellError, OSError, ValueError, asyncio.TimeoutError):
        return []  # the launch that follows says what is wrong with the way there
    close_books(statuses)
    statuses = [each for each in statuses if each.get("target") == options.target]
    statuses = [each for each in statuses if not is_driven(each)]
    runs = left_among(statuses, options.notebook or "")
    with_runs = {run.host.runtime for run in runs}
    idle = [each for each in _left(statuses, options.notebook or "") if _is_job(each) and each["runtime"] not in with_runs]
    others = others_among(statuses, options.notebook or "")
    return [*map(_told, runs), *map(_told_job, idle), *map(other_version, others)]


def _told(run: LeftRun) -> str:
    return f"{run} %remote sessions --all --end {PurePosixPath(run.host.runtime).name} --yes ends it."


def _is_job(status: Mapping[str, Any]) -> bool:
    """Which somebody pays for."""
    return "job" in status and not status.get("is_over")


def close_books(statuses: Iterable[Mapping[str, Any]]) -> None:
    """Tells the ledger of jobs whose hosts died without a word, and when."""
    for status in statuses:
        if "ended_unheard" in status:
            close_book(Ending(status.get("ledger") or {}, float(status["ended_unheard"]), str(status["state"])))


def close_book(ending: Ending) -> None:
    from .ledger import JobReport, SessionReport
    from .recorder import recorder

    keeper, at, job, session = recorder(), ending.at or time.time(), ending.ids.get("job"), ending.ids.get("session")
    if keeper is None or session is None:
        return
    reports = [SessionReport(id=session, as_of=at, ended=at)]
    keeper.tell(*reports, *([JobReport(id=job, as_of=at, ended=at, state="ended", reason=ending.how)] if job else []))


def _told_job(status: Mapping[str, Any]) -> str:
    """One that runs nothing, and that nobody can use any more, holds what it was granted until `keep_s` is over."""
    return (
        f"Job {status['job']} of this notebook's earlier kernel is still there on {status['target']!r} ({status['state']}): "
        f"%remote sessions --all --end {PurePosixPath(status['runtime']).name} ends it."
    )


@dataclass(frozen=True)
class LeftRun:
    """A run of an earlier kernel of this notebook, whose results nobody has taken."""

    id: str
    host: runtime.HostInfo
    is_over: bool
    is_driven: bool = False
    """A kernel is connected to it, or was until half a minute ago and did not say good-bye."""

    @property
    def target(self) -> str:
        return str(self.host.fields.get("target") or "local")

    @property
    def is_journal(self) -> bool:
        """Whether its host is gone, and only its journal is left."""
        return bool(self.host.fields.get("is_over"))

    def what_is_saved(self) -> str:
        """Of the variables of a session whose host is gone."""
        saved = self.host.fields.get("ended", {}).get("saved")
        if not saved:
            return f"What it had changed was only there. %remote restore {self.target} looks for an older snapshot."
        names = ", ".join(sorted(saved["names"])) or "nothing"
        return f"Its session has saved {names} as it ended: %remote restore {self.target} brings them back."

    def __str__(self) -> str:
        if self.is_journal:
            fields = self.host.fields
            return (
                f"Run {self.id[:ID_LENGTH]} on {self.target!r} has ended with its {'lease' if 'lease' in fields else 'job'} "
                f"{fields['job']} ({fields['state']}): "
                f"%remote attach {self.id[:ID_LENGTH]} shows its output here."
            )
        if self.host.fields.get("is_waiting"):
            fields = self.host.fields
            return (
                f"Run {self.id[:ID_LENGTH]} on {self.target!r} waits with job {fields['job']} ({fields['state']}): "
                f"%remote attach {self.id[:ID_LENGTH]} waits for it, and shows its output here."
            )
        since = time.strftime("%H:%M", time.localtime(self.host.fields.get("started")))
        how = "is over" if self.is_over else "goes on"
        return (
            f"Run {self.id[:ID_LENGTH]} on {self.target!r} {how}, in a session of this notebook's earlier kernel from {since}: "
            f"%remote attach {self.id[:ID_LENGTH]} shows its output here and takes what it has changed."
        )


def is_driven(status: Mapping[str, Any]) -> bool:
    """Whether a notebook is connected to it."""
    return any(role == "driver" for role, _ in status.get("connections") or ())


def left_in(host: runtime.HostInfo, status: Mapping[str, Any]) -> list[LeftRun]:
    """Those of one host, by what it says of itself."""
    going = [status["run"]] if status.get("run") is not None else []
    going += status.get("waiting_runs") or ()
    over = status.get("untaken_runs") or ()
    driven = is_driven(status)
    return [*(LeftRun(run, host, True, driven) for run in over), *(LeftRun(run, host, False, driven) for run in going)]


def left_runs(notebook: str) -> list[LeftRun]:
    """All of this machine; asks the hosts that an earlier kernel of this notebook has left, if there are any."""
    hosts = [host for host in runtime.live_hosts() if not is_own(host.runtime) and host.fields.get("notebook") == notebook]
    return left_among([{**host.fields, **ask_status(host)} for host in hosts], notebook)


def left_among(statuses: Iterable[Mapping[str, Any]], notebook: str) -> list[LeftRun]:
    """Of hosts anywhere, by what they say of themselves."""
    runs = []
    for status in _left(statuses, notebook):
        fields = dict(status)
        if "age_s" in status:  # its clock may be another one
            fields["started"] = time.time() - status["age_s"]
        runs += left_in(runtime.HostInfo(status["runtime"], status["pid"], status["socket"], fields), status)
    return runs


def _left(statuses: Iterable[Mapping[str, Any]], notebook: str) -> list[Mapping[str, Any]]:
    return [each for each in statuses if each.get("notebook") == notebook and not is_own(each["runtime"])]


def others_among(statuses: Iterable[Mapping[str, Any]], notebook: str) -> list[Mapping[str, Any]]:
    """Hosts of this notebook that speak another protocol: what their folders say."""
    return [each for each in statuses if each.get("state") == OTHER_VERSION and each.get("notebook") == notebook]


def other_version(fields: Mapping[str, Any]) -> str:
    """What to do about a host that speaks another protocol, by what its folder says."""
    theirs, id = fields.get("version", "another version"), PurePosixPath(str(fields.get("runtime"))).name
    target = fields.get("target") or "local"
    everywhere = "" if str(target).startswith("local") else "--all "
    return (
        f"A session of this notebook on {target!r} is of farcell {theirs}, which this farcell ({__version__}) cannot talk to "
        f"({fields.get('message')}). It goes on, and nothing of it was ended: a notebook with farcell {theirs} takes it over "
        f"(%remote attach), %remote sessions {everywhere}--end {id} --yes ends it with all that it has."
    )


class HeldBack:
    """Messages of a run that is attached to, until there is somebody to take them; those of other runs are done with, also
    where they come later, over a slow line: as long as the host has not told all that it had (`is_behind`)."""

    def __init__(self, run: str, is_behind: Callable[[], bool]) -> None:
        self._key = run.encode()
        self._is_behind = is_behind
        self._kept: list[tuple[Message, tuple[Buffer, ...]]] = []
        self._lock = threading.RLock()
        self._is_released = False

    def take(self, message: Message, bulk: tuple[Buffer, ...]) -> bool:
        """False when it is to go its usual way."""
        with self._lock:
            is_wanted = self._key in bytes(message.parts[1])
            if self._is_released:
                return not is_wanted and self._is_behind()
            if is_wanted:
                self._kept.append((message, bulk))
            return True

    def release(self, on_message: Callable[[Message, tuple[Buffer, ...]], None]) -> None:
        """To whom they are for, in order; those that come meanwhile wait."""
        with self._lock:
            self._is_released = True
            for message, bulk in self._kept:
                on_message(message, bulk)


def names_in(header: Mapping[str, Any]) -> list[str]:
    """The notebook's names that a payload binds or changes."""
    streams = (name for stream in header.get("streams", ()) for name in stream["names"])
    names = {*streams, *header.get("modules", ()), *header.get("bind", ()), *header.get("refs", ())}
    return sorted(name for name in names if name.isidentifier())
