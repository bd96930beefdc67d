"""A connection to one host that only looks: it has no part in the session's messages, and the host does not count it as use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from farcell_host.commands import SILENT, ask_status
from farcell_host.errors import FarcellHostError
from farcell_host.protocol.messages import Buffer, Message
from farcell_host.runtime import HostInfo
from farcell_host.waiting import result_within

from ..backends.base import Backend, Listing, backend_named
from ..backends.trunk import OverTrunk, Trunk, Trunked
from ..connection import Connection
from ..deaths import Death
from ..errors import FarcellError, TargetUnavailable
from ..everywhere import Session, allocation_of

OPEN_S = 30.0
OPEN_HERE_S = 5.0
ANSWER_S = 10.0
LEAVE_S = 10.0
WATCH_S = 20.0
"""A host tells at once that a run or its kernel has changed, and after this time what else has: its memory, who looks on."""
STATUS_S = 2.0
"""Between two questions to a host of an older farcell, which cannot tell by itself."""
FIRST_GPUS_S = 0.5
"""After its first answer: a first look takes a host a while, which those that have not answered yet need more."""
GPUS_S = {"devices": 2.0, "error": 30.0, "none": 60.0}
"""Between two looks, by what the last one found."""

Told = Callable[[Mapping[str, Any]], None]


class Observer:
    """All methods are for the connection thread's loop; so are the callbacks. `on_gpus` gets an answer, or why there is none."""

    def __init__(
        self,
        session: Session,
        on_status: Told,
        on_gpus: Callable[[Mapping[str, Any] | None, str | None], None],
        on_away: Callable[[], None],
        on_end: Callable[[], None],
        trunk: Trunk | None = None,
    ) -> None:
        """`on_away`: the stream was lost, and is opened anew. `trunk`: over which the host is reached; without one the session's
        own backend makes a way."""
        self._session = session
        self._on_status, self._on_gpus, self._on_away, self._on_end = on_status, on_gpus, on_away, on_end
        self.trunk = trunk
        self._backend: Backend = backend_named(session.options.backend)
        if trunk is not None and isinstance(self._backend, Trunked):
            self._backend = OverTrunk(self._backend, trunk, self._backend.name)
        self._is_here = session.options.backend.startswith("local")
        self._told: dict[str, Any] = {}
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.settled = asyncio.Event()
        """The host has answered, or it is known that it does not."""
        self.connection: Connection | None = None

    @property
    def is_live(self) -> bool:
        connection = self.connection
        return connection is not None and connection.away is None and self.settled.is_set() and not self._over.is_set()

    def begin(self) -> None:
        self._task = asyncio.ensure_future(self._serve())

    async def close(self) -> None:
        """Ends the connection, never the session."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, op: str, timeout_s: float = ANSWER_S, **fields: Any) -> dict[str, Any]:
        """The host's answer; raises TargetUnavailable when there is none in time, or it refuses."""
        if self.connection is None or self._over.is_set():
            raise TargetUnavailable(f"There is no connection to session {self._session.id} on {self._session.target!r}.")
        try:
            return await result_within(asyncio.wrap_future(self.connection.request(op, **fields)), timeout_s)
        except asyncio.TimeoutError:
            raise TargetUnavailable(
                f"Session {self._session.id} on {self._session.target!r} did not answer in {timeout_s:.0f} s."
            ) from None

    async def _serve(self) -> None:
        connection = Connection(self._backend, allocation_of(self._session), _pass_over, self._ended, "observer", messages=False)
        connection.on_away = self._on_away
        watching: list[asyncio.Task[None]] = []
        try:
            await result_within(connection.open(), OPEN_HERE_S if self._is_here else OPEN_S)
            self.connection = connection
            watching = [asyncio.ensure_future(each) for each in (self._over_or_never(), self._statuses(), self._gpus())]
            done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (FarcellError, FarcellHostError, OSError, asyncio.TimeoutError):
            if not self._over.is_set():
                await self._ask_why()
        finally:
            for task in watching:
                task.cancel()
            self.connection = None
            await connection.close()
            if isinstance(self._backend, Listing) and not self._is_here:
                with contextlib.suppress(asyncio.TimeoutError):
                    await result_within(self._backend.leave(allocation_of(self._session)), LEAVE_S)
            self.settled.set()
        self._on_end()

    async def _ask_why(self) -> None:
        """A host of this machine with which there is no talking: of another version, or silent."""
        status = self._session.status
        if self._is_here and status.get("socket"):
            host = HostInfo(self._session.runtime, int(status.get("pid") or 0), str(status["socket"]), dict(status))
            self._on_status(await asyncio.get_running_loop().run_in_executor(None, ask_status, host))

    def _ended(self, death: Death) -> None:
        """The session is over, or cannot be reached for so long that it is given up."""
        self._over.set()

    async def _over_or_never(self) -> None:
        await self._over.wait()

    async def look(self) -> None:
        """Has the host tell its status now; raises TargetUnavailable."""
        self._tell(await self.ask("status"))

    def _tell(self, status: dict[str, Any]) -> None:
        self._told = {**{key: self._told[key] for key in ("face",) if key in self._told}, **status}
        self._on_status(self._told)
        self.settled.set()

    async def _statuses(self) -> None:
        """All that changes is told; a host that does not answer is said to be silent, and asked again."""
        face: Any = None
        knows_watch = True
        while True:
            try:
                if knows_watch:
                    within_s = WATCH_S if face is not None else 0.0
                    status = await self.ask("watch", within_s + ANSWER_S, seen=face, within_s=within_s)
                    face = status["face"]
                    self._tell(status)
                else:
                    await self.look()
                    await asyncio.sleep(STATUS_S)
            except TargetUnavailable as error:
                if self._over.is_set():
                    return
                if "knows no request" in str(error):
                    knows_watch = False
                    continue
                face = None
                self._tell({**(self._told or self._session.status), "state": SILENT})
                await asyncio.sleep(STATUS_S)

    async def _gpus(self) -> None:
        await self.settled.wait()
        await asyncio.sleep(FIRST_GPUS_S)
        while True:
            pause = GPUS_S["error"]
            try:
                said = await self.ask("gpus")
                pause = GPUS_S.get(str(said.get("state")), pause)
                self._on_gpus(said, None)
            except TargetUnavailable as error:
                if self._over.is_set():
                    return
                self._on_gpus(None, str(error))
            await asyncio.sleep(pause)


def _pass_over(message: Message, bulk: tuple[Buffer, ...]) -> None:
    """The journal is not read here."""
