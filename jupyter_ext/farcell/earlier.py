"""Sessions that an earlier kernel of the same notebook left behind: it crashed or was restarted.

Their object numbers mean nothing to a new kernel, so one that is idle holds nothing anybody can reach and is ended. One
that runs a cell, or has run one whose results nobody has taken, is left alone, and the person is told how to attach to it.
On another machine an idle one is left to end by itself (`keep_s`): a notebook of the same name may sit on a third machine.
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

from .backends.base import Allocation, Backend, LaunchOptions, Listing, ShellBackend
from .conflicts import ID_LENGTH
from .errors import FarcellError

if TYPE_CHECKING:
    from .backends.ssh.questions import Ask

LIST_TIMEOUT_S = 60.0
_own: set[str] = set()


def own(folder: str) -> None:
    """This process's own session: not an earlier one."""
    _own.add(folder)


async def settle(backend: Backend, options: LaunchOptions, ask: Ask | None = None) -> list[str]:
    """Ends what is idle; what to say about the rest. `ask` is that of `Backend.launch`; TargetUnavailable where a login fails."""
    if not options.notebook:
        return []
    if not options.backend.startswith("local"):
        return await _told_over_there(backend, options, ask)
    said = []
    loop = asyncio.get_running_loop()
    for host in runtime.live_hosts():
        if host.runtime in _own or host.fields.get("notebook") != options.notebook:
            continue
        status = await loop.run_in_executor(None, ask_status, host)
        left = left_in(host, status)
        if left:
            said += [_told(run) for run in left]
        elif status["state"] == OTHER_VERSION:
            said.append(other_version(status))
        elif status["state"] != SILENT:
            await backend.release(Allocation(options, host.runtime, host.pid, host.socket))
    return said


async def _told_over_there(backend: Backend, options: LaunchOptions, ask: Ask | None) -> list[str]:
    if not isinstance(backend, Listing):
        return []
    if isinstance(backend, ShellBackend):  # who may be asked is asked first: a login without anybody would be refused before
        await backend.shell(options, ask)
    try:
        statuses = await asyncio.wait_for(backend.sessions(options), LIST_TIMEOUT_S)
    except (FarcellError, OSError, ValueError, asyncio.TimeoutError):
        return []  # the launch that follows says what is wrong with the way there
    runs = left_among(statuses, options.notebook or "")
    others = [
        other_version(each) for each in others_among(statuses, options.notebook or "") if each.get("target") == options.target
    ]
    return [*(_told(run) for run in runs if run.target == options.target), *others]


def _told(run: LeftRun) -> str:
    return f"{run} %remote sessions --all --end {PurePosixPath(run.host.runtime).name} --yes ends it."


@dataclass(frozen=True)
class LeftRun:
    """A run of an earlier kernel of this notebook, whose results nobody has taken."""

    id: str
    host: runtime.HostInfo
    is_over: bool

    @property
    def target(self) -> str:
        return str(self.host.fields.get("target") or "local")

    def __str__(self) -> str:
        since = time.strftime("%H:%M", time.localtime(self.host.fields.get("started")))
        how = "is over" if self.is_over else "goes on"
        return (
            f"Run {self.id[:ID_LENGTH]} on {self.target!r} {how}, in a session of this notebook's earlier kernel from {since}: "
            f"%remote attach {self.id[:ID_LENGTH]} shows its output here and takes what it has changed."
        )


def left_in(host: runtime.HostInfo, status: Mapping[str, Any]) -> list[LeftRun]:
    """Those of one host, by what it says of itself."""
    going = [status["run"]] if status.get("run") is not None else []
    going += status.get("waiting_runs") or ()
    over = status.get("untaken_runs") or ()
    return [*(LeftRun(run, host, True) for run in over), *(LeftRun(run, host, False) for run in going)]


def left_runs(notebook: str) -> list[LeftRun]:
    """All of this machine; asks the hosts that an earlier kernel of this notebook has left, if there are any."""
    hosts = [host for host in runtime.live_hosts() if host.runtime not in _own and host.fields.get("notebook") == notebook]
    return [run for host in hosts for run in left_in(host, ask_status(host))]


def left_among(statuses: Iterable[Mapping[str, Any]], notebook: str) -> list[LeftRun]:
    """Of hosts anywhere, by what they say of themselves: those that no notebook drives now."""
    runs = []
    for status in statuses:
        is_driven = any(role == "driver" for role, _ in status.get("connections") or ())
        if status.get("notebook") == notebook and status["runtime"] not in _own and not is_driven:
            host = runtime.HostInfo(status["runtime"], status["pid"], status["socket"], dict(status))
            runs += left_in(host, status)
    return runs


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
    """Messages of a run that is attached to, until there is somebody to take them; those of other runs are done with."""

    def __init__(self, run: str) -> None:
        self._key = run.encode()
        self._kept: list[tuple[Message, tuple[Buffer, ...]]] = []
        self._lock = threading.RLock()
        self._is_released = False

    def take(self, message: Message, bulk: tuple[Buffer, ...]) -> bool:
        """False when it is to go its usual way."""
        with self._lock:
            if self._is_released:
                return False
            if self._key in bytes(message.parts[1]):
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
