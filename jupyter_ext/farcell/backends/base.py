"""What a backend is: it starts a kernel host somewhere and opens byte streams to it. Everything else is the same for
all of them.

Backends are found by name through the entry point group `farcell.backends` (name = module:Class, made without
arguments); the local ones are here for ever and need no entry point.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from farcell_host.stream import Endpoint

from ..errors import TargetUnavailable, UsageError
from .resources import Resources

if TYPE_CHECKING:
    from ..deaths import Death
    from .shell import Shell
    from .ssh.questions import Ask

GROUP = "farcell.backends"
_BUILTIN = {
    "broker": "farcell.backends.broker.backend:BrokerBackend",
    "local": "farcell.backends.local:LocalBackend",
    "local-attach": "farcell.backends.local_attach:LocalAttachBackend",
    "slurm": "farcell.backends.slurm.backend:SlurmBackend",
    "ssh": "farcell.backends.ssh.backend:SshBackend",
}


Tell = Callable[[str], None]


def untold(text: str) -> None:
    """For a launch that nobody looks at."""


class Unreachable(TargetUnavailable):
    """There was no way to the machine just now: what has become of the host cannot be asked either."""


class JobState(Enum):
    """What has become of an allocation."""

    RUNNING = "running"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class LaunchOptions:
    """What a backend is told, whatever its kind. Frozen; paths are absolute on the machine where the host runs."""

    target: str = "local"
    backend: str = "local"
    python: str | None = None  # of the remote kernel; None: the one that runs this notebook
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    idle_timeout_s: float | None = None
    keep_s: float | None = None
    notebook: str | None = None  # who it is for, so that a later kernel of the same notebook finds it
    host: str | None = None  # of a machine that is reached over a network
    user: str | None = None
    ssh: str = "ssh"  # its command line
    ssh_persist_s: float = 600.0
    setup: tuple[str, ...] = ()  # shell commands before the host starts
    secrets: tuple[str, ...] = ()  # names of environment variables that go along
    cache_dir: str | None = None
    environment: str = "auto"  # where its Python has no ipykernel: one is made from an index or "ship"ped wheels, or "never"
    system_site_packages: bool = False  # that one sees the Python's own packages
    price_per_hour: float | None = None  # of the allocation, for the ledger
    resources: Resources = field(default_factory=Resources)  # of a scheduler
    save_grace_s: float = 10.0  # for a run to end when its session must
    state_dir: str | None = None  # seen by all nodes of a cluster
    route: str = "auto"  # to a cluster's nodes: tcp, srun
    url: str | None = None  # of a broker
    lends: str | None = None  # what the broker calls the target; None: as it is called here
    token_file: str | None = None  # with what the broker knows the user by
    token_variable: str | None = None
    session: str | None = None  # its runtime folder's name, so that a launch done twice is done once; None: a new one
    trust: str = "all"  # "data": of what comes back nothing is unpickled
    inherits: bool = True  # a host on this machine gets this process's environment, not only what any program needs

    @property
    def takes_data_alone(self) -> bool:
        return self.trust == "data"


@dataclass(frozen=True)
class Allocation:
    """One kernel host that was started: where it is and how it is known."""

    options: LaunchOptions
    runtime: str
    pid: int | None = None
    socket: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()  # what the person is told once it is up

    @property
    def log(self) -> str:
        return f"{self.runtime}/host.log"


class Opened(Protocol):
    """A byte stream's two ends, and what must be ended with it (a bridge process)."""

    endpoint: Endpoint

    def close(self) -> None:
        """Ends what carries the stream, never the host. Safe to call twice; the endpoint itself is closed by its Stream."""


@dataclass
class OpenedStream:
    """An endpoint with nothing else to end, or with `on_close`."""

    endpoint: Endpoint
    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()


class Backend(Protocol):
    """Four methods and a name; all run on the connection thread's loop."""

    name: str

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        """Returns when the host listens; raises TargetUnavailable with what it printed.

        `ask` puts a question to the person, from any thread, and blocks; without it nobody may be asked. `tell` says in the cell
        what is being waited for, from any thread: a launch that says nothing new for two minutes is given up.
        """

    async def open_stream(self, allocation: Allocation) -> Opened:
        """A new byte stream to the host; raises OSError or TargetUnavailable."""

    async def poll(self, allocation: Allocation) -> JobState:
        """Whether the host can still be there; asked before a lost stream is opened again."""

    async def release(self, allocation: Allocation) -> None:
        """Gives everything back, also what a host that died left behind. Safe to call twice."""


@dataclass(frozen=True)
class Ending:
    """Of a job whose host had no last word. `ids`: of its `session` and of its `job` in the ledger; seconds since the epoch."""

    ids: Mapping[str, str | None]
    at: float | None
    how: str


@runtime_checkable
class ShellBackend(Protocol):
    """A backend whose targets have a shell, so that they can be prepared without a session."""

    async def shell(self, options: LaunchOptions, ask: Ask | None = None) -> Shell:
        """On the target's own machine; raises TargetUnavailable. `ask` as in `launch`."""


@runtime_checkable
class Shared(Protocol):
    """What a backend has beside, whose streams go over a connection that others share, and that may be dead without a word."""

    def doubt(self) -> None:
        """A stream was lost: what it went over must answer before it is used again."""


@runtime_checkable
class Scheduled(Protocol):
    """What a backend has beside, whose launch may wait in a scheduler's queue. A launch that is cancelled leaves its job there,
    and the next one takes it up, unless it is withdrawn."""

    takes_runs: bool
    """Whether `leave_run` may be asked."""

    @property
    def queued(self) -> str | None:
        """What waits there, in words: `Job 12`."""

    async def withdraw(self) -> None:
        """Takes it out of the queue; raises TargetUnavailable when the scheduler cannot be told."""

    async def leave_run(self, run: str, pieces: list[bytes], again: bool) -> None:
        """Gives what waits in the queue a run of its own, as frames, and forgets it; raises TargetUnavailable. With `again` the
        run begins anew whenever the job does."""

    def forget(self) -> None:
        """What waits in the queue goes its own way."""

    async def is_put_back(self, allocation: Allocation) -> bool:
        """Of an allocation that is gone: whether its job waits in the queue once more, or has begun anew since; raises
        TargetUnavailable when the scheduler cannot be asked."""

    async def resume(self, allocation: Allocation) -> None:
        """The next launch takes up its job, which waits, or was put back."""

    async def journal(self, allocation: Allocation, after: int = 0) -> bytes:
        """What the host of an allocation that is gone has left of its journal, from some message before number `after` + 1 on
        (`farcell_host.journal.messages_of`); raises TargetUnavailable."""

    async def ending(self, allocation: Allocation) -> Ending | None:
        """How an allocation that is gone has ended, for the ledger; None when nobody knows. Raises nothing."""

    async def obituary(self, allocation: Allocation) -> Death | None:
        """What became of an allocation that is gone, as far as the scheduler says; raises nothing."""


@runtime_checkable
class Listing(Protocol):
    """What a backend has beside, that can say which sessions of this user are on its machine. They raise
    TargetUnavailable, and ask nobody for a password."""

    async def sessions(self, options: LaunchOptions) -> list[dict[str, Any]]:
        """What each live host says of itself (`status` of docs/architecture.md), of all notebooks."""

    async def end(self, options: LaunchOptions, runtime: str) -> None:
        """Ends the session in this folder, with all that it has."""

    async def leave(self, allocation: Allocation) -> None:
        """Gives up the way that `open_stream` made to somebody else's session, which goes on. Raises nothing."""


def backend_names() -> list[str]:
    """Names a target's `backend` may have."""
    return sorted({*_BUILTIN, *(point.name for point in entry_points(group=GROUP))})


def backend_named(name: str) -> Backend:
    """A backend by name, built-in or registered by an entry point; UsageError for a name nobody has registered."""
    builtin = _BUILTIN.get(name)
    if builtin is not None:
        module, _, attribute = builtin.partition(":")
        return cast(Backend, getattr(importlib.import_module(module), attribute)())
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                return cast(Backend, point.load()())
            except ImportError as error:
                raise TargetUnavailable(f"Backend {name!r} cannot be loaded: {error}. Install its extra.") from error
    raise UsageError(f"Unknown backend {name!r}. Known: {', '.join(backend_names())}.")
