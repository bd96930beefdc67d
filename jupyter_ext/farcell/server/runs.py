"""Runs: those that the ledger has, with what living sessions say of theirs, and what they have shown.

What hosts know of their runs is put into the ledger first, as a notebook does: the ledger merges it by a law of its own, so
there is one list, and it is the same whoever asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ..errors import LedgerError, TargetUnavailable
from ..ledger import Report, RunUsage
from ..ledger.accounts import RunFilter
from ..recorder import reports_of
from .faults import Fault, unknown
from .observatory import Observatory, Watched, ended_runs_of
from .runlog import read_log
from .schemas import LogQuery, RunFace, RunList, RunLog, RunQuery
from .targetsapi import Aside, There
from .usage import ledger_kept

RECORDED_S = 2.0
"""So old may be what the ledger has of how far a run is; that one has begun or ended is recorded at once."""
USAGE_S, PATIENT_S = 3.0, 10.0
"""For so long a host is waited for: with the others for a list, and for a run that only it may know."""


class Runs:
    def __init__(self, observatory: Observatory, there: There, aside: Aside) -> None:
        self._observatory, self._there, self._aside = observatory, there, aside
        self._recorded_at = 0.0
        self._recorded_mark: object = None
        self._recording = asyncio.Lock()

    async def record(self, within_s: float = USAGE_S, anew: bool = False) -> list[str]:
        """Has the ledger know what hosts know, and names the sessions that did not say; a 503 Fault where none is kept. With
        `anew` they are asked though nothing was seen to change."""
        ledger = await self._aside(ledger_kept)
        async with self._recording:
            mark = await self._there(self._mark())
            if not anew and mark == self._recorded_mark and time.monotonic() - self._recorded_at < RECORDED_S:
                return []
            reports: list[Report]
            silent: list[str]
            reports, silent = await self._there(self._reports(within_s))
            if reports:
                await self._aside(lambda: ledger.record(*reports))
            self._recorded_at, self._recorded_mark = time.monotonic(), mark
            return silent

    async def page(self, asked: RunQuery) -> RunList:
        await self.record()
        living = await self._living()
        session = next((each for each, (_, id) in living.items() if id == asked.session), asked.session)
        before = None if asked.before is None else _cursor(asked.before)
        ledger = await self._aside(ledger_kept)
        rows, following = await self._aside(
            lambda: ledger.page(asked.limit, before, RunFilter(asked.target, session, asked.state))
        )
        shown = RunFilter(asked.target, asked.session, asked.state)
        queued = [run for run in await self._queued() if before is None and shown.fits(run.target, run.session, run.state)]
        known = {row.id for row in rows}
        return RunList(
            runs=[*(run for run in queued if run.id not in known), *(_face(row, living) for row in rows)],
            next=None if following is None else f"{following[0]:.9f}~{following[1]}",
            currency=(await self._there(self._currency())),
        )

    async def one(self, id: str) -> RunFace:
        queued = next((run for run in await self._queued() if run.id == id), None)
        if queued is not None:
            return queued
        await self.record()
        row = await self._row(id)
        if row is None:
            silent = await self.record(PATIENT_S, anew=True)
            row = await self._row(id)
        if row is None:
            also = f" Not all of them have answered: {', '.join(silent)}." if silent else ""
            raise unknown(
                f"There is no run {id!r}: the ledger does not know it, and it waits on no session that can be seen.{also}"
            )
        return _face(row, await self._living())

    async def _row(self, id: str) -> RunUsage | None:
        """What the ledger has of it."""
        ledger = await self._aside(ledger_kept)
        row: RunUsage | None = await self._aside(lambda: ledger.run_usage(id))
        return row if row is not None and row.id == id else None

    async def log(self, id: str, asked: LogQuery) -> RunLog:
        row: RunUsage | None = None
        with contextlib.suppress(Fault, LedgerError):  # it is not needed, where the session lives
            row = await self._row(id)
        result: RunLog = await self._there(self._log(id, asked, row))
        return result

    # -- on the connection thread's loop

    async def _log(self, id: str, asked: LogQuery, row: RunUsage | None) -> RunLog:
        for is_everywhere in (False, True):
            async with self._observatory.visited(is_everywhere):
                sessions = [watched for watched in self._observatory.all() if watched.session.has_journal]
                for watched in sorted(sessions, key=lambda each: not _has(each, id, row)):
                    if row is not None and row.session is not None and watched.ledger_id not in (None, row.session):
                        continue  # it is known to be another session's
                    log = await read_log(watched.listed, id, asked.after, asked.limit)
                    if log is not None:
                        return log
        if row is not None:
            raise unknown(f"What run {id!r} on {row.target!r} has shown ended with its session; {row.state or 'over'}.")
        raise unknown(f"No session that can be seen has a run {id!r}. What a run has shown ends with its session.")

    async def _reports(self, within_s: float) -> tuple[list[Report], list[str]]:
        """What hosts say, and the sessions of those that do not."""
        async with self._observatory.visited():
            asked = [each for each in self._observatory.all() if each.observer is not None]
            said = await asyncio.gather(*(_usage(each, within_s) for each in asked))
        reports = [
            report
            for each, told in zip(asked, said, strict=True)
            for report in reports_of(told or {}, each.session.options.backend)
        ]
        return reports, [each.session.id for each, told in zip(asked, said, strict=True) if told is None]

    async def _mark(self) -> frozenset[tuple[str, ...]]:
        """Changes with each run that is seen to begin, to end or to be taken; one that is over already is told of for a while."""
        watched = self._observatory.all()
        going = {(each.session.id, *run) for each in watched for run in each.runs}
        return frozenset(going | {(run.session, run.id, "over") for each in watched for run in ended_runs_of(each)})

    async def _alive(self) -> dict[str, tuple[Watched, str]]:
        return {each.ledger_id: (each, each.session.id) for each in self._observatory.all() if each.ledger_id is not None}

    async def _currency(self) -> str:
        return self._observatory.targets[0].currency

    # -- on tornado's loop

    async def _living(self) -> dict[str, tuple[Watched, str]]:
        living: dict[str, tuple[Watched, str]] = await self._there(self._alive())
        return living

    async def _queued(self) -> list[RunFace]:
        snapshot = self._observatory.snapshot
        return [
            RunFace(
                id=run.id, session=run.session, target=run.target, notebook=run.notebook, cell=run.cell, said_by=None,
                state="queued", is_live=True, started=None, ended=None, seconds=None, gpu_seconds=None, sent_bytes=None,
                received_bytes=None, peak_gpu_bytes=None, gpu_utilisation=None, part=None, cost=None,
            )
            for run in snapshot.runs_in_progress
            if run.state == "queued"
        ]  # fmt: skip


async def _usage(watched: Watched, within_s: float) -> Mapping[str, Any] | None:
    """None when it has ended meanwhile, or is slow or away: what it has is told later."""
    if watched.observer is None or not watched.is_live:
        return None
    try:
        return await watched.observer.ask("usage", within_s)
    except TargetUnavailable:
        return None


def _has(watched: Watched, run: str, row: RunUsage | None) -> bool:
    return run in watched.session.left or (row is not None and row.session == watched.ledger_id)


def _cursor(text: str) -> tuple[float, str]:
    at, _, id = text.partition("~")
    return float(at), id


def _face(row: RunUsage, living: Mapping[str, tuple[Watched, str]]) -> RunFace:
    alive = living.get(row.session or "")
    state = row.state or "unknown"
    if state == "running" and alive is None:
        state = "unknown"  # nobody has told how it ended
    return RunFace(
        id=row.id,
        session=alive[1] if alive is not None else row.session,
        target=row.target,
        notebook=None if row.notebook == "unknown" else row.notebook,
        cell=row.cell,
        said_by=row.said_by,
        state=state,
        is_live=alive is not None,
        started=row.started,
        ended=row.ended,
        seconds=row.seconds,
        gpu_seconds=row.gpu_seconds,
        sent_bytes=row.sent_bytes,
        received_bytes=row.received_bytes,
        peak_gpu_bytes=row.peak_gpu_bytes,
        gpu_utilisation=row.gpu_utilisation,
        part=row.part,
        cost=row.cost,
    )
