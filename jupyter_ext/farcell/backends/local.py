"""The local target: a kernel host as a subprocess on this machine. Nothing to set up, the default for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farcell_host import runtime
from farcell_host.commands import ask_status
from farcell_host.stream import connect_unix

from ..errors import TargetUnavailable
from .base import Allocation, JobState, LaunchOptions, Opened, OpenedStream, Tell, untold

if TYPE_CHECKING:
    from .ssh.questions import Ask

LAUNCH_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class LocalBackend:
    """Talks to the host's Unix socket directly, so that large buffers travel as open files."""

    name = "local"

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        folder = runtime.root() / f"s-{uuid.uuid4().hex[:8]}"
        try:
            process = await asyncio.create_subprocess_exec(
                *launch_command(options, str(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=options.cwd,
                env={**os.environ, **options.env},
                start_new_session=True,  # Jupyter interrupts the notebook kernel's whole process group
            )
        except OSError as error:  # most likely the target's cwd
            raise TargetUnavailable(f"The kernel host on {options.target!r} did not start: {error}.") from error
        try:
            out, err = await asyncio.wait_for(process.communicate(), LAUNCH_TIMEOUT_S)
            return parse_launch(options, str(folder), process.returncode, out.decode(), err.decode(errors="replace"))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self._stop(str(folder))
            raise

    async def open_stream(self, allocation: Allocation) -> Opened:
        return OpenedStream(connect_unix(allocation.socket or os.path.join(allocation.runtime, "socket")))

    async def poll(self, allocation: Allocation) -> JobState:
        return JobState.RUNNING if is_running(allocation) else JobState.GONE

    async def release(self, allocation: Allocation) -> None:
        await self._stop(allocation.runtime)

    async def sessions(self, options: LaunchOptions) -> list[dict[str, Any]]:
        """Of all notebooks on this machine."""
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(None, ask_status, host) for host in runtime.live_hosts()]
        return list(await asyncio.gather(*asked))

    async def end(self, options: LaunchOptions, runtime: str) -> None:
        await self._stop(runtime)

    async def leave(self, allocation: Allocation) -> None:
        """Nothing was made."""

    async def _stop(self, folder: str) -> None:
        """A host that is gone leaves its folder and perhaps its kernel; `stop` ends both."""
        if not os.path.exists(folder):
            return
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "farcell_host", "stop", "--runtime", folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


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
