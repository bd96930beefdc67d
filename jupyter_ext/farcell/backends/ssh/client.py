"""The `ssh` processes of one destination: one shared connection (ControlMaster), scripts, and ways to a socket over there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from farcell_host import runtime
from farcell_host.reasons import Reason

from ...deaths import of_login
from ...errors import TargetUnavailable
from ..filelock import locked
from ..shell import NOTHING, SCRIPT_S, UNWATCHED, Answer, Payloads, Watch, converse, start_bridge
from .destination import CONNECT_S, Destination, control_path

CONTROL_S = 10.0
LOGIN_S = 120.0
"""With a person typing."""
_UNREACHABLE = 255  # ssh's own exit code
_NOT_AGAIN = (Reason.LOGIN_REFUSED, Reason.HOST_KEY_CHANGED, Reason.HOST_KEY_UNKNOWN)


class LoginRefused(TargetUnavailable):
    """The other machine did not let us in; never tried again by itself, since accounts are locked for that."""


class SshClient:
    """A shell on another machine. All methods run on one event loop."""

    def __init__(self, target: str, destination: Destination, persist_s: float) -> None:
        """`persist_s`: how long the shared connection stays open without use."""
        self.target, self.destination = target, destination
        self._persist_s = persist_s
        self._folder = runtime.secure(runtime.secure(runtime.root()) / "ssh")
        self._path: str | None = None
        self._refused: LoginRefused | None = None

    async def connect(self, environment: Mapping[str, str] | None = None) -> None:
        """Has a shared connection that answers; raises TargetUnavailable with what ssh said.

        With the `environment` of somebody who answers ssh's questions it may ask them, else a login that needs any fails.
        """
        if self._refused is not None and environment is None:
            raise self._refused
        if self._path is None:
            code, out, errors = await _run(self.destination.settings(), CONTROL_S)
            if code != 0:
                raise self._failure(code, errors)
            found = control_path(out)
            self._path = found or str(self._folder / self.destination.key)
        try:
            async with locked(
                self._folder / f"{self.destination.key}.lock"
            ):  # two kernels that start together make one connection
                await self._share(self._path, environment)
        except LoginRefused as error:
            self._refused = error
            raise
        self._refused = None

    async def _share(self, path: str, environment: Mapping[str, str] | None) -> None:
        code, _, _ = await _run(self.destination.control(path, "check"), CONTROL_S)
        if code == 0:
            return
        _remove_dead(path)
        batch = () if environment is not None else ("-o", "BatchMode=yes")
        persist = f"ControlPersist={max(1, round(self._persist_s))}"
        start = self.destination.argv("-M", "-N", "-f", "-o", f"ControlPath={path}", "-o", persist, *batch)
        limit = LOGIN_S if environment is not None else 2 * CONNECT_S
        with tempfile.TemporaryFile() as errors:  # not a pipe: the connection would keep it open
            ended = await _code_of(start, limit, errors.fileno(), environment)
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if ended is None:
            raise TargetUnavailable(
                f"{self.target!r}: ssh did not get to {self.destination.host} in {limit:.0f} s.", Reason.UNREACHABLE
            )
        if ended != 0:
            raise self._failure(ended, said)

    async def run(
        self, script: str, mark: str, payloads: Payloads = NOTHING, timeout_s: float = SCRIPT_S, watch: Watch = UNWATCHED
    ) -> Answer:
        answer = await converse(self._argv(), script, mark, payloads, timeout_s, watch)
        if answer is None:
            raise TargetUnavailable(
                f"{self.target!r}: {self.destination.host} did not answer in {timeout_s:.0f} s.", Reason.UNREACHABLE
            )
        if answer.code == _UNREACHABLE and not answer.said:
            raise self._failure(answer.code, answer.errors)
        return answer

    def bridge(self) -> subprocess.Popen[bytes]:
        """For machines that let no sockets be forwarded."""
        return start_bridge(self._argv())

    def _argv(self) -> list[str]:
        return self.destination.argv(*self._shared(), command="exec sh")

    async def forward(self, local: str, remote: str) -> None:
        """Has the socket `local` lead to the one over there; a socket that lay there before is replaced."""
        await self._control("forward", local, remote)

    async def unforward(self, local: str, remote: str) -> None:
        with contextlib.suppress(TargetUnavailable):
            await self._control("cancel", local, remote)
        Path(local).unlink(missing_ok=True)

    async def _control(self, verb: str, local: str, remote: str) -> None:
        assert self._path is not None
        options = ("-o", "StreamLocalBindUnlink=yes", "-L", f"{local}:{remote}")
        code, _, errors = await _run(self.destination.control(self._path, verb, *options), CONTROL_S)
        if code != 0:
            raise self._failure(code, errors)

    def new_socket(self) -> str:
        """A free name in our folder, short enough for a socket. Those that killed processes have left there are removed."""
        for path in self._folder.glob("*-*-*"):
            if not _lives(path.name.split("-")[1]):
                path.unlink(missing_ok=True)
        return str(self._folder / f"{self.destination.key}-{os.getpid()}-{secrets.token_hex(2)}")

    def _shared(self) -> tuple[str, ...]:
        return ("-o", f"ControlPath={self._path}", "-o", "ControlMaster=no", "-o", "BatchMode=yes")

    def _failure(self, code: int | None, errors: str) -> TargetUnavailable:
        said = "\n".join(f"    {line}" for line in errors.strip().splitlines()[-10:]) or "    (nothing)"
        where = f"{self.target!r} ({self.destination.host})"
        reason, words = of_login(errors, self.target, self.destination.host)
        if reason in _NOT_AGAIN:
            return LoginRefused(f"{where} {words} ssh said:\n{said}", reason)
        return TargetUnavailable(f"{where} {words} (ssh exit code {code}). It said:\n{said}", reason)


def _lives(pid: str) -> bool:
    """Also when in doubt: a socket that is gone is forwarded anew when it is next needed."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True


async def _run(argv: list[str], timeout_s: float) -> tuple[int, str, str]:
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
        out, errors = await asyncio.wait_for(process.communicate(), timeout_s)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return _UNREACHABLE, "", f"no answer from the shared connection in {timeout_s:.0f} s"
    return process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace")


async def _code_of(argv: list[str], timeout_s: float, errors: int, environment: Mapping[str, str] | None) -> int | None:
    """The exit code, None when it took too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise TargetUnavailable(f"{argv[0]} cannot be run: {error}.") from None
    try:
        return await asyncio.wait_for(process.wait(), timeout_s)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return None


def _remove_dead(path: str) -> None:
    """A socket that nobody listens on: the connection behind it was killed, and ssh would share no other in its place."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except OSError:
            return
