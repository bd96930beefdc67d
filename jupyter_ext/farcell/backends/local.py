"""The local target: a kernel host as a subprocess on this machine. Nothing to set up, the default for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farcell_host import leased, runtime
from farcell_host.commands import ask_status
from farcell_host.runtime import named
from farcell_host.stream import connect_unix
from farcell_host.waiting import result_within

from ..errors import TargetUnavailable
from .base import Allocation, JobState, LaunchOptions, Opened, OpenedStream, Tell, untold

if TYPE_CHECKING:
    from .ssh.questions import Ask

LAUNCH_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class LocalBackend:
    """Talks to the host's Unix socket directly, so that large buffers travel as open files."""

    name = "local"

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        folder = runtime.root() / new_session(options)
        try:
            process = await asyncio.create_subprocess_exec(
                *launch_command(options, str(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=options.cwd,
                env={**(os.environ if options.inherits else plain_environment(os.environ)), **options.env},
                start_new_session=True,  # Jupyter interrupts the notebook kernel's whole process group
            )
        except OSError as error:  # most likely the target's cwd
            raise TargetUnavailable(f"The kernel host on {options.target!r} did not start: {error}.") from error
        try:
            out, err = await result_within(process.communicate(), LAUNCH_TIMEOUT_S)
            return parse_launch(options, str(folder), process.returncode, out.decode(), err.decode(errors="replace"))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self._stop(str(folder), options)
            raise

    async def open_stream(self, allocation: Allocation) -> Opened:
        return OpenedStream(connect_unix(allocation.socket or os.path.join(allocation.runtime, "socket")))

    async def poll(self, allocation: Allocation) -> JobState:
        return JobState.RUNNING if is_running(allocation) else JobState.GONE

    async def release(self, allocation: Allocation) -> None:
        await self._stop(allocation.runtime, allocation.options)

    async def sessions(self, options: LaunchOptions) -> list[dict[str, Any]]:
        """Of all notebooks on this machine."""
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(None, ask_status, host) for host in runtime.live_hosts()]
        return list(await asyncio.gather(*asked))

    async def end(self, options: LaunchOptions, runtime: str) -> None:
        if not await self._stop(str(named(runtime)), options):
            raise TargetUnavailable(f"Session {Path(runtime).name} on {options.target!r} was told to end and has not: try again.")

    async def leave(self, allocation: Allocation) -> None:
        """Nothing was made."""

    async def _stop(self, folder: str, options: LaunchOptions) -> bool:
        """A host that is gone leaves its folder and perhaps its kernel; `stop` ends both. Whether all is gone for certain."""
        if not os.path.exists(folder) and not lease_flags(options):
            return True
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "farcell_host", "stop", "--runtime", folder, *lease_flags(options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        code = None
        with contextlib.suppress(asyncio.TimeoutError):
            code = await result_within(process.wait(), STOP_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)
        return code == 0


def new_session(options: LaunchOptions) -> str:
    """The name of its runtime folder."""
    return options.session or f"s-{uuid.uuid4().hex[:8]}"


PLAIN = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONPATH", "SHELL", "TMPDIR", "TZ", "USER"}
)
"""What any program may need and nobody keeps a secret in."""
_PLAIN_OF_OURS = frozenset({"FARCELL_CACHE_DIR", "FARCELL_RUNTIME_DIR"})


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Of somebody else's host: no token, no ssh agent, no address of a database."""
    kept = PLAIN | _PLAIN_OF_OURS
    return {name: value for name, value in environment.items() if name in kept or name.startswith("LC_")}


def launch_command(options: LaunchOptions, folder: str) -> list[str]:
    """The host runs in this Python; the kernel in the target's."""
    python = ["--python", options.python] if options.python is not None else []
    return [sys.executable, "-m", "farcell_host", "launch", "--runtime", folder, *python, *launch_flags(options)]


def launch_flags(options: LaunchOptions) -> list[str]:
    """For any host: those of its `launch` that do not depend on where it runs."""
    flags: list[str] = []
    for flag, value in (
        ("--cwd", options.cwd),
        ("--idle-timeout", options.idle_timeout_s),
        ("--keep", options.keep_s),
        ("--save-grace", options.save_grace_s),
        ("--notebook", options.notebook),
        ("--target", options.target),
        ("--price-per-hour", options.price_per_hour),
    ):
        if value is not None:
            flags += [flag, str(value)]
    return flags


def lease_flags(options: LaunchOptions) -> list[str]:
    """For a host's `stop`: what a broker's lease has started ends with its host."""
    lease = options.env.get(leased.MARK)
    return [] if lease is None else ["--lease", lease]


def parse_launch(options: LaunchOptions, folder: str, returncode: int | None, out: str, err: str) -> Allocation:
    """The one JSON line that `launch` prints when the host listens; TargetUnavailable with what it said instead."""
    lines = out.strip().splitlines()
    try:
        fields = json.loads(lines[-1]) if lines and returncode == 0 else None
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        said = "\n".join(f"    {line}" for line in err.strip().splitlines()[-10:]) or "    (nothing)"
        raise TargetUnavailable(f"The kernel host on {options.target!r} did not start (exit code {returncode}). It said:\n{said}")
    return Allocation(options, fields.get("runtime", folder), fields.get("pid"), fields.get("socket"), fields)


def is_running(allocation: Allocation) -> bool:
    """Whether the host's process lives: a zombie or another process under its old number does not count."""
    if allocation.pid is None or not Path(allocation.runtime).exists():
        return False
    try:
        os.kill(allocation.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{allocation.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
