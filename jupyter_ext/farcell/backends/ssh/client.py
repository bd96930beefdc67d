"""The `ssh` processes of one destination: one shared connection (ControlMaster), scripts, and ways to a socket over there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import shlex
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from farcell_host import runtime
from farcell_host.reasons import Reason
from farcell_host.waiting import result_within

from ...deaths import of_login
from ...errors import TargetUnavailable
from ..base import Unreachable
from ..filelock import locked
from ..shell import NOTHING, SCRIPT_S, UNWATCHED, Answer, Payloads, Watch, converse, start_bridge
from .destination import CONNECT_S, Destination, control_path
from .logins import Login, Race

CONTROL_S = 10.0
LOGIN_S = 120.0
"""With a person typing."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
_UNREACHABLE = 255  # ssh's own exit code
_NOT_AGAIN = (Reason.LOGIN_REFUSED, Reason.HOST_KEY_CHANGED, Reason.HOST_KEY_UNKNOWN)
OWN_SUFFIX = "." + 6 * "x" + "." + 16 * "x"
"""What is behind a shared connection's key in its path, and what ssh writes behind that while it makes it."""
_SESSIONS_TAKEN = "Session open refused by peer"
_NO_OTHER_WAY = ("-o", "ProxyCommand=exit 255")
"""Where the shared connection takes no further session ssh would make another one, and log in anew, which may take a person."""


class LoginRefused(TargetUnavailable):
    """The other machine did not let us in; never tried again by itself, since accounts are locked for that."""


class SshClient:
    """A shell on another machine. All methods run on one event loop."""

    def __init__(self, target: str, destination: Destination, persist_s: float) -> None:
        """`persist_s`: how long the shared connection stays open without use. Raises RuntimeFolderError."""
        self.target, self.destination = target, destination
        self.path: str | None = None
        """The control socket of the shared connection in use; another one when that has been replaced."""
        self._persist_s = persist_s
        self._folder = runtime.secure(runtime.secure(runtime.root()) / "ssh")
        runtime.check_length(self._folder, destination.key + OWN_SUFFIX)
        self._users: str | None = None
        self._is_configured = False
        self._doubted: set[str] = set()
        self._is_lost = False
        self._login_s = 0.0
        self._refused: LoginRefused | None = None

    async def connect(self, environment: Mapping[str, str] | None = None) -> None:
        """Has a shared connection that answers; raises TargetUnavailable with what ssh said.

        With the `environment` of somebody who answers ssh's questions it may ask them, else a login that needs any fails.
        """
        if self._refused is not None and environment is None:
            raise self._refused
        if not self._is_configured:
            code, out, errors = await run_command(self.destination.settings(), CONTROL_S)
            if code != 0:
                raise self._failure(code, errors)
            self._users = control_path(out)
            self._is_configured = True
        try:
            # Two kernels that start together make one connection.
            async with locked(self._folder / f"{self.destination.key}.lock"):
                self.path = await self._share(environment)
        except LoginRefused as error:
            self._refused = error
            raise
        self._refused = None

    def doubt(self) -> None:
        """What went over the shared connection has ended, or was not answered: it is used again when it has answered."""
        self._is_lost = True
        if self.path is not None:
            self._doubted.add(self.path)

    async def _share(self, environment: Mapping[str, str] | None) -> str:
        doubted = []
        for path in self._connections():
            if (await run_command(self.destination.control(path, "check"), CONTROL_S))[0] == 0:
                if path not in self._doubted:
                    self._is_lost = False
                    return path
                doubted.append(path)
        self._doubted.intersection_update(doubted)
        if environment is not None or not self._is_lost:
            path = self._new_path() if self._users is None or doubted else self._users
            login = Login(self.destination, path, self._persist_s, CONNECT_S, environment)
            began = time.monotonic()
            ended = await login.run(LOGIN_S if environment is not None else 2 * CONNECT_S)
            self._login_s = time.monotonic() - began
        else:
            race = Race(self.destination, doubted, self._new_path, self._persist_s, self._login_s)
            path, ended = await race.run()
        if not ended.is_in:
            raise self._failure(ended.code, ended.errors)
        self._is_lost = False
        self._doubted.discard(path)
        for other in doubted:
            if other not in (path, self._users):  # it ends when nothing goes over it, and nobody else takes it
                await run_command(self.destination.control(other, "stop"), CONTROL_S)
        return path

    def _connections(self) -> list[str]:
        """Control sockets that somebody listens on, the newest of ours first, that of the user's configuration last."""
        found: list[tuple[float, str]] = []
        for path in self._folder.glob(f"{self.destination.key}.??????"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_socket() and not _is_dead(str(path)):
                    found.append((path.stat().st_mtime, str(path)))
        ours = [path for _, path in sorted(found, reverse=True)]
        return [*ours, self._users] if self._users is not None and not _is_dead(self._users) else ours

    def _new_path(self) -> str:
        return str(self._folder / f"{self.destination.key}.{secrets.token_hex(3)}")

    async def run(
        self, script: str, mark: str, payloads: Payloads = NOTHING, timeout_s: float = SCRIPT_S, watch: Watch = UNWATCHED
    ) -> Answer:
        began, pause, was_lost = time.monotonic(), FIRST_PAUSE_S, False
        while True:
            answer = await converse(self._argv(*_NO_OTHER_WAY), script, mark, payloads, timeout_s, watch)
            if answer is None:
                raise TargetUnavailable(
                    f"{self.target!r}: {self.destination.host} did not answer in {timeout_s:.0f} s.", Reason.UNREACHABLE
                )
            if answer.code != _UNREACHABLE or answer.said:
                return answer
            if _SESSIONS_TAKEN in answer.errors and time.monotonic() - began < timeout_s:
                # sshd's MaxSessions, with many notebooks that start together: others' scripts end soon.
                await asyncio.sleep(pause * (1 + random.random()))
                pause = min(2 * pause, LONGEST_PAUSE_S)
            elif _SESSIONS_TAKEN not in answer.errors and not was_lost:
                was_lost = True
                await self.connect()
            else:
                raise self._failure(answer.code, answer.errors)

    def bridge(self) -> subprocess.Popen[bytes]:
        """For machines that let no sockets be forwarded."""
        return start_bridge(self._argv())

    def _argv(self, *options: str) -> list[str]:
        return self.destination.argv(*self._shared(), *options, command="exec sh")

    async def forward(self, local: str, remote: str) -> None:
        """Has the socket `local` lead to the one over there; a socket that lay there before is replaced."""
        await self._control("forward", local, remote)

    async def unforward(self, local: str, remote: str) -> None:
        with contextlib.suppress(TargetUnavailable):
            await self._control("cancel", local, remote)
        Path(local).unlink(missing_ok=True)

    async def _control(self, verb: str, local: str, remote: str) -> None:
        assert self.path is not None
        options = ("-o", "StreamLocalBindUnlink=yes", "-L", f"{local}:{remote}")
        code, _, errors = await run_command(self.destination.control(self.path, verb, *options), CONTROL_S)
        if code != 0:
            raise self._failure(code, errors)

    def new_socket(self) -> str:
        """A free name in our folder, short enough for a socket. Those that killed processes have left there are removed."""
        for path in self._folder.glob("*-*-*"):
            if not _lives(path.name.split("-")[1]):
                path.unlink(missing_ok=True)
        return str(self._folder / f"{self.destination.key}-{os.getpid()}-{secrets.token_hex(2)}")

    def _shared(self) -> tuple[str, ...]:
        return ("-o", f"ControlPath={self.path}", "-o", "ControlMaster=no", "-o", "BatchMode=yes")

    def _failure(self, code: int | None, errors: str) -> TargetUnavailable:
        said = "\n".join(f"    {line}" for line in errors.strip().splitlines()[-10:]) or "    (nothing)"
        where = f"{self.target!r} ({self.destination.host})"
        if code is None:
            return Unreachable(f"{where}: ssh did not get there in time.", Reason.UNREACHABLE)
        reason, words = of_login(errors, self.target, self.destination.host)
        if reason in _NOT_AGAIN:
            return LoginRefused(f"{where} {words} ssh said:\n{said}", reason)
        return Unreachable(f"{where} {words} (ssh exit code {code}). It said:\n{said}", reason)


def is_shared(target: str, host: str, user: str | None, ssh: str) -> bool:
    """Whether there is a shared connection to that machine already, of farcell's own making. Logs in nowhere."""
    try:
        client = SshClient(target, Destination(host, user, tuple(shlex.split(ssh))), 1.0)
    except runtime.RuntimeFolderError:
        return False
    return bool(client._connections())


def _lives(pid: str) -> bool:
    """Also when in doubt: a socket that is gone is forwarded anew when it is next needed."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True


async def run_command(argv: list[str], timeout_s: float) -> tuple[int, str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TargetUnavailable(f"{argv[0]} cannot be run: {error}.") from None
    try:
        out, errors = await result_within(process.communicate(), timeout_s)
    except asyncio.TimeoutError:
        return _UNREACHABLE, "", f"no answer from the shared connection in {timeout_s:.0f} s"
    finally:
        if process.returncode is None:  # too late, or nobody waits for it any more: it must do nothing later
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace")


def _is_dead(path: str) -> bool:
    """Whether there is none; one that nobody listens on is removed: the connection behind it was killed, and ssh would share no
    other in its place."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return True
        except FileNotFoundError:
            return True
        except OSError:
            return False
    return False
