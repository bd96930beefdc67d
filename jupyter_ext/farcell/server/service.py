"""What the routes call. Runs on tornado's loop; whatever waits or blocks goes to the connection thread's loop or to a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from ..threads import loop_thread
from . import actions
from .faults import unknown
from .observatory import Observatory
from .runs import Runs
from .schemas import (
    CancelRequest,
    Done,
    InterruptRequest,
    Refreshed,
    RestartRequest,
    SessionDetail,
    SessionList,
    Snapshot,
    StopRequest,
    Task,
    Telemetry,
    TelemetryQuery,
    Usage,
    UsageQuery,
    Variables,
    Watch,
    WatchRequest,
)
from .targetsapi import TargetsApi
from .trials import Trials
from .usage import told as usage_told

T = TypeVar("T")


class Service:
    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self._trials = Trials(observatory)
        self.loop: asyncio.AbstractEventLoop | None = None
        """Tornado's, once there has been a request."""
        self.targets: TargetsApi = TargetsApi(observatory, there, aside)
        self.runs: Runs = Runs(observatory, there, aside)

    # -- the whole

    async def snapshot(self) -> Snapshot:
        await self._up_to_date()
        return self._observatory.snapshot

    async def _up_to_date(self) -> None:
        """Files can be looked at without anybody watching: it costs a few stat calls, and asks nobody."""

        async def look() -> None:
            if self._observatory.look_at_targets():
                self._observatory.publish_now()

        await there(look())

    async def watch(self, asked: WatchRequest) -> Watch:
        self.loop = asyncio.get_running_loop()
        await there(self._observatory.watch(asked.page, asked.within_s))
        snapshot = self._observatory.snapshot
        return Watch(
            page=asked.page,
            until=time.time() + asked.within_s,
            server=snapshot.server,
            revision=snapshot.revision,
            snapshot=snapshot if asked.snapshot else None,
        )

    async def unwatch(self, page: str) -> None:
        await there(self._observatory.unwatch(page))

    async def refresh(self) -> Refreshed:
        await there(self._observatory.refresh())
        snapshot = self._observatory.snapshot
        return Refreshed(server=snapshot.server, revision=snapshot.revision)

    async def close(self) -> None:
        """Nothing is left behind: no connection, and no trial."""
        self.loop = None
        await there(self._trials.close())
        await there(self._observatory.close())

    # -- sessions

    async def sessions(self) -> SessionList:
        async def look() -> SessionList:
            async with self._observatory.visited(is_everywhere=True):
                snapshot = self._observatory.snapshot
                return SessionList(
                    server=snapshot.server, revision=snapshot.revision, sessions=snapshot.sessions, faults=snapshot.faults
                )

        return await there(look())

    async def session(self, id: str) -> SessionDetail:
        async def look() -> SessionDetail:
            async with actions.found(self._observatory, id) as watched:
                return self._observatory.detail(watched)

        return await there(look())

    async def variables(self, id: str) -> Variables:
        return await there(actions.variables(self._observatory, id))

    async def stop(self, id: str, asked: StopRequest) -> Done:
        return await there(actions.stop(self._observatory, id, asked.yes))

    async def interrupt(self, id: str, asked: InterruptRequest) -> Done:
        return await there(actions.interrupt(self._observatory, id, asked.run))

    async def restart(self, id: str, asked: RestartRequest) -> Done:
        return await there(actions.restart(self._observatory, id, asked.yes))

    async def cancel(self, id: str, asked: CancelRequest) -> Done:
        return await there(actions.cancel(self._observatory, id, asked.run, asked.yes))

    async def keep(self, id: str) -> Done:
        return await there(actions.keep(self._observatory, id))

    async def telemetry(self, asked: TelemetryQuery) -> Telemetry:
        async def look() -> Telemetry:
            known = [each for each in self._observatory.all() if asked.session in (None, each.session.id)]
            if asked.session is not None and not known:
                raise unknown(f"There is no session {asked.session!r} among those that are watched.")
            snapshot = self._observatory.snapshot
            return Telemetry(
                server=snapshot.server,
                revision=snapshot.revision,
                sessions=[self._observatory.telemetry(each, asked.since) for each in known],
            )

        return await there(look())

    # -- targets, tasks, usage

    async def test(self, name: str) -> Task:
        return await there(self._trials.begin(name))

    async def task(self, id: str) -> Task:
        async def look() -> Task:
            found = self._observatory.task(id)
            if found is None:
                raise unknown(f"There is no task {id!r}: it was over long ago, or of an earlier process of this server.")
            return found

        return await there(look())

    async def usage(self, asked: UsageQuery) -> Usage:
        await self.runs.record()
        targets, _ = await self._targets()
        return await aside(lambda: usage_told(targets, asked.by, datetime.now().astimezone()))

    async def _targets(self) -> Any:
        async def look() -> Any:
            return self._observatory.targets

        return await there(look())


async def there(work: Coroutine[Any, Any, T]) -> T:
    """On the connection thread's loop."""
    return await asyncio.wrap_future(loop_thread().submit(work))


async def aside(work: Callable[[], T]) -> T:
    """In a thread: it may block."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
