"""What can be done to a session from outside. All of it runs on the connection thread's loop.

An action looks first: what was seen a while ago is no ground to end anything. It goes to the host by its control channel, or to
the place's own way of ending sessions; nothing of it touches a notebook.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from .. import everywhere
from ..errors import TargetUnavailable
from ..everywhere import Session
from .faces import state_of
from .faults import Fault, unknown
from .observatory import HERE, Observatory, Watched
from .observer import Observer
from .schemas import Done, Variable, Variables

RESTART_S = 30.0
VARS_S = 15.0


@contextlib.asynccontextmanager
async def found(observatory: Observatory, id: str) -> AsyncIterator[Watched]:
    """The session, looked at just now: on this machine first, and elsewhere only if it is not here. Raises a 404 Fault."""
    async with observatory.visited():
        watched = observatory.watched(id)
        if watched is not None and (watched.place == HERE or watched.is_live):
            yield watched
            return
    async with observatory.visited(is_everywhere=True):
        yield _known(observatory, id)


def _known(observatory: Observatory, id: str) -> Watched:
    watched = observatory.watched(id)
    if watched is None:
        unasked = "".join(f" Not asked: {fault.message}" for fault in observatory.snapshot.faults)
        raise unknown(f"There is no session {id!r}; it may have ended.{unasked}")
    return watched


async def variables(observatory: Observatory, id: str) -> Variables:
    """Only when nothing runs there."""
    async with found(observatory, id) as watched:
        said = await (await _reached(observatory, watched)).ask("vars", VARS_S)
        held = said.get("vars")
        return Variables(session=id, variables=None if held is None else [_variable(each) for each in held])


def _variable(said: Mapping[str, Any]) -> Variable:
    shape, preview = said.get("shape"), said.get("repr")
    return Variable(
        name=str(said["name"]),
        type=str(said.get("type") or ""),
        shape=None if shape is None else str(shape),
        bytes=said.get("bytes"),
        preview=None if preview is None else str(preview),
    )


async def stop(observatory: Observatory, id: str, yes: bool) -> Done:
    """Ends it with all that it has; a 409 Fault names the runs that would be lost, unless `yes` is said."""
    async with found(observatory, id) as watched:
        await _settled(watched)
        session = watched.session
        if not yes:
            state, _ = state_of(session.status)
            if state == "other-version":
                raise Fault(
                    409,
                    "other-version",
                    f"Session {id} on {session.target!r} is of farcell {session.status.get('version')}, whose runs cannot be "
                    "asked for here. Stop it with yes to end it with all that it has.",
                )
            _keep(session, "end with it", "Stop it with yes to end it all the same.")
        async with observatory.ending(watched):
            await everywhere.ending(session)
        return Done(session=id, done="stopped")


async def interrupt(observatory: Observatory, id: str, run: str | None) -> Done:
    async with found(observatory, id) as watched:
        return await _interrupt(observatory, watched, run)


async def restart(observatory: Observatory, id: str, yes: bool) -> Done:
    """A new kernel; the notebook is told by the host, as when it had died."""
    async with found(observatory, id) as watched:
        observer = await _reached(observatory, watched)
        session = watched.session
        if not yes and (session.run is not None or session.status.get("waiting_runs")):
            _keep(session, "are lost with a restart", "Restart it with yes to do so all the same.")
        try:
            await observer.ask("restart", RESTART_S, epoch=session.status.get("epoch"))
        except TargetUnavailable as error:
            if "Only the driver" in str(error):
                raise Fault(
                    409,
                    "other-version",
                    f"Session {id} on {session.target!r} is of an older farcell, whose kernel only its notebook may restart: "
                    f"%remote restart {session.target} there does.",
                ) from None
            raise
        await _asked(watched)
        return Done(session=id, done="restarted")


async def keep(observatory: Observatory, id: str) -> Done:
    """Has the time begin anew after which it ends for want of use; that of a job does not."""
    async with found(observatory, id) as watched:
        observer, session = await _reached(observatory, watched), watched.session
        try:
            await observer.ask("keep")
        except TargetUnavailable as error:
            if "knows no request" in str(error):
                text = f"Session {id} on {session.target!r} is of an older farcell: run a cell on it to keep it."
                raise Fault(409, "other-version", text) from None
            raise
        await _asked(watched)
        return Done(session=id, done="kept")


async def cancel(observatory: Observatory, id: str, run: str | None, yes: bool) -> Done:
    """A run that waits, or the job that the session waits for."""
    async with found(observatory, id) as watched:
        session = watched.session
        state, detail = state_of(session.status)
        if run is not None and state != "waiting":
            waiting = [str(each) for each in session.status.get("waiting_runs") or ()]
            if run not in waiting:
                known = ", ".join(waiting) or "none"
                raise Fault(409, "not-waiting", f"Run {run} does not wait on session {id}. Waiting there: {known}.")
            return await _interrupt(observatory, watched, run)
        if state != "waiting":
            raise Fault(409, "not-waiting", f"Session {id} on {session.target!r} waits for no job; stop ends it.")
        if not yes:
            _keep(session, f"wait for job {session.status.get('job')} ({detail})", "Cancel it with yes to drop them too.")
        async with observatory.ending(watched):
            await everywhere.ending(session)
        return Done(session=id, done="cancelled")


async def _interrupt(observatory: Observatory, watched: Watched, run: str | None) -> Done:
    observer = await _reached(observatory, watched)
    answer = await observer.ask("interrupt", run=run)
    await _asked(watched)
    return Done(session=watched.session.id, done=answer["done"])


async def _reached(observatory: Observatory, watched: Watched) -> Observer:
    """A connection to its host; a Fault says why there can be none."""
    await observatory.reach(watched)
    observer, session = watched.observer, watched.session
    if observer is None or not observer.is_live or state_of(session.status)[0] == "silent":
        state, _ = state_of(session.status)
        raise Fault(
            409 if state in ("waiting", "over", "other-version") else 503,
            "unreachable",
            f"Session {session.id} on {session.target!r} cannot be talked to: it is {state}.",
        )
    return observer


def _keep(session: Session, what: str, hint: str) -> None:
    """A 409 Fault if it has runs that would be lost."""
    runs = list(dict.fromkeys(session.left))
    if runs:
        named = ", ".join(run[:8] for run in runs)
        text = f"Session {session.id} on {session.target!r} has runs that {what}: {named}. {hint}"
        raise Fault(409, "runs-lost", text, runs=runs)


async def _settled(watched: Watched) -> None:
    """Its notebook may be about to say that it has what its runs have brought back."""
    await _asked(watched)
    if watched.session.is_settling:
        await asyncio.sleep(everywhere.TAKEN_S)
        await _asked(watched)


async def _asked(watched: Watched) -> None:
    """What its host says now, where there is a connection."""
    if watched.observer is not None and watched.observer.is_live:
        with contextlib.suppress(TargetUnavailable):
            await watched.observer.look()
