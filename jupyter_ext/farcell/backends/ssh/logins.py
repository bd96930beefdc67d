"""Logins that make a shared connection, and the race for one where a link was lost.

After a cut TCP itself comes back late: it sends again after pauses that have doubled, up to seconds after the link has healed.
So a login that waits for a link is joined by another whenever one would have been over, and the first one through is taken. The
connection that was there before takes part: it may have been a pause only, and its login may be one that nobody can repeat
(a second factor).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farcell_host.waiting import result_within

from ...errors import TargetUnavailable
from .destination import CONNECT_S, Destination

SHORTEST_PACE_S, LONGEST_PACE_S = 0.25, 1.0
"""Between two logins of a race: about as long as one takes. Each is a process of some ten milliseconds."""
ALONGSIDE = 6
EAGER_CONNECT_S = 1
EAGER_S = 4.0
"""For a login after the first to be through; where that is too little there is the first of the race, which has `CONNECT_S`."""
ANSWER_S = 0.3
"""A head start of the connection that was there before."""
REFUSED = ("Permission denied", "Too many authentication failures", "Authentication failed")
HOST_KEY = ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED")
_ANSWERS = "refused by peer"  # sshd's MaxSessions: it lives


@dataclass(frozen=True)
class Ended:
    code: int | None
    """ssh's exit code; None when it took too long."""
    errors: str

    @property
    def is_in(self) -> bool:
        return self.code == 0

    @property
    def is_refused(self) -> bool:
        return self.code != 0 and any(text in self.errors for text in (*REFUSED, *HOST_KEY))


@dataclass(frozen=True)
class Login:
    """One attempt at a shared connection, which is at `path` afterwards."""

    destination: Destination
    path: str
    persist_s: float
    connect_s: int
    environment: Mapping[str, str] | None = None
    """Of somebody who answers ssh's questions; without it a login that needs any fails."""

    async def run(self, limit_s: float) -> Ended:
        batch = () if self.environment is not None else ("-o", "BatchMode=yes")
        ways = ("-o", f"ControlPath={self.path}", "-o", f"ControlPersist={max(1, round(self.persist_s))}")
        timeout = ("-o", f"ConnectTimeout={self.connect_s}")
        argv = self.destination.argv("-M", "-N", "-f", *timeout, *ways, *batch)
        is_over = False
        try:
            ended = await _ended(argv, limit_s, self.environment)
            is_over = True
            return ended
        finally:
            if not is_over:  # it may have gone into the background just then
                await asyncio.shield(self.end())

    async def end(self) -> None:
        """Of a connection that nobody uses."""
        if os.path.exists(self.path):
            await _ended(self.destination.control(self.path, "exit"), CONNECT_S)


class Race:
    def __init__(
        self, destination: Destination, before: Sequence[str], new_path: Callable[[], str], persist_s: float, login_s: float
    ) -> None:
        """`before`: the control sockets of connections that are there and did not answer. `login_s`: what a login has taken."""
        self._destination, self._before, self._new_path, self._persist_s = destination, before, new_path, persist_s
        self._pace_s = min(max(SHORTEST_PACE_S, login_s), LONGEST_PACE_S)
        self._going: dict[asyncio.Task[Ended], str] = {}
        self._logins: dict[str, Login] = {}

    async def run(self) -> tuple[str, Ended]:
        """The path of the connection that is there now, or "" and what the last login ended with; after `CONNECT_S` at most, or
        with the first refusal, unless a connection from before is still waited for."""
        taken = ""
        try:
            taken, ended = await self._run()
        finally:
            losers = [path for path in self._going.values() if path != taken]
            for task in self._going:
                task.cancel()
            await asyncio.gather(*self._going, return_exceptions=True)
            for path in losers:
                if path in self._logins:
                    await self._logins[path].end()
        return taken, ended

    async def _run(self) -> tuple[str, Ended]:
        began = time.monotonic()
        for path in self._before:
            self._start(path, self._ask(path))
        last, refused = Ended(None, ""), False
        next_at = began + (ANSWER_S if self._before else 0.0)
        while (now := time.monotonic()) < began + CONNECT_S and (self._going or not refused):
            if now >= next_at and not refused:
                if len(self._going) < ALONGSIDE:
                    self._log_in(is_first=not self._logins)
                next_at = now + self._pace_s
            if not self._going:
                await asyncio.sleep(max(0.0, next_at - now))
                continue
            done, _ = await asyncio.wait(
                self._going, timeout=max(0.0, next_at - now) if not refused else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                path, ended = self._going.pop(task), task.result()
                if ended.is_in:
                    return path, ended
                if path in self._logins:
                    last, refused = ended, refused or ended.is_refused
        return "", last

    def _log_in(self, is_first: bool) -> None:
        path = self._new_path()
        login = Login(self._destination, path, self._persist_s, CONNECT_S if is_first else EAGER_CONNECT_S)
        self._logins[path] = login
        self._start(path, login.run(CONNECT_S if is_first else EAGER_S))

    def _start(self, path: str, attempt: Coroutine[Any, Any, Ended]) -> None:
        self._going[asyncio.ensure_future(attempt)] = path

    async def _ask(self, path: str) -> Ended:
        """Whether a connection from before answers; by a session of its own, as the other end must."""
        ways = ("-o", f"ControlPath={path}", "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o", "ProxyCommand=false")
        ended = await _ended(self._destination.argv(*ways, command="true"), CONNECT_S)
        return Ended(0, "") if _ANSWERS in ended.errors else ended


async def _ended(argv: list[str], limit_s: float, environment: Mapping[str, str] | None = None) -> Ended:
    with tempfile.TemporaryFile() as errors:  # not a pipe: what goes into the background would keep it open
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors.fileno(),
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise TargetUnavailable(f"{argv[0]} cannot be run: {error}.") from None
        code: int | None = None
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                code = await result_within(process.wait(), limit_s)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        errors.seek(0)
        return Ended(code, errors.read().decode(errors="replace"))
