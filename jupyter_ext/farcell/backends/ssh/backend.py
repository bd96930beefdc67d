"""The ssh backend: the kernel host ships itself there, and its socket is forwarded over one shared connection.

A forwarded socket is no session of sshd's (MaxSessions, sshd_config(5)), so that twenty of them work where ten sessions may be
open. Where sockets may not be forwarded (AllowStreamLocalForwarding no) each stream is a session whose shell becomes the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
from pathlib import Path
from typing import Any

from farcell_host.commands import ask_status
from farcell_host.runtime import HostInfo
from farcell_host.stream import connect_unix

from ...errors import TargetUnavailable
from .. import scripts
from ..base import Allocation, JobState, LaunchOptions, Opened, OpenedStream, Tell, untold
from ..bootstrap import Bootstrap
from ..local import launch_flags, lease_flags, new_session, parse_launch
from ..shell import Answer, Shell, bridged, host_zipapp, new_mark
from ..shipment import supplied
from .client import SshClient
from .login import Login
from .questions import Ask

ATTACH_SOCKET = "attach.socket"


class SshBackend:
    """One session's; the connection to the machine is shared by all sessions of all notebooks of a user."""

    name = "ssh"
    tells_hosts = True

    def __init__(self) -> None:
        self._login = Login()
        self._sockets: dict[str, tuple[str, str | None]] = {}
        """By runtime folder over there: the socket here that leads to it, and the shared connection by which it does."""
        self._forwards = True

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        client = await self._login.client(options, ask)
        bootstrap = Bootstrap(client, options, tell, {**options.env, **secret_values(options)})
        session = new_session(options)
        start = functools.partial(bootstrap.launch, session, launch_flags(options))
        prepared, answer = await supplied(client, options, tell, start)
        found = parse_launch(options, "", answer.code, answer.output, answer.errors)
        details = {**found.details, "pyz": prepared.pyz, "command": prepared.command}
        return Allocation(options, found.runtime, found.pid, found.socket, details, prepared.notices)

    def doubt(self) -> None:
        self._login.doubt()

    async def shell(self, options: LaunchOptions, ask: Ask | None = None) -> Shell:
        """A shell on the target, for what needs no session."""
        return await self._login.client(options, ask)

    async def open_stream(self, allocation: Allocation) -> Opened:
        client = await self._login.client(allocation.options)
        if self._forwards:
            local, by = self._sockets.get(allocation.runtime, (None, None))
            if local is not None and by != client.path:
                Path(local).unlink(missing_ok=True)
            elif local is not None:
                with contextlib.suppress(OSError):  # refused: the shared connection is another one by now
                    return OpenedStream(connect_unix(local))
            local = await self._forward(client, allocation, client.new_socket())
            if local is not None:
                return OpenedStream(connect_unix(local))
        return await self._bridge(client, allocation)

    async def poll(self, allocation: Allocation) -> JobState:
        try:
            client = await self._login.client(allocation.options)
            answer = await self._host(client, allocation, "status", "--runtime", allocation.runtime)
        except (TargetUnavailable, OSError):
            return JobState.UNKNOWN
        if "run" not in answer.said:
            return JobState.UNKNOWN
        return JobState.RUNNING if answer.code == 0 else JobState.GONE

    async def release(self, allocation: Allocation) -> None:
        """A host that cannot be told ends by itself, after the target's keep_s."""
        with contextlib.suppress(TargetUnavailable, OSError):
            client = await self._login.client(allocation.options)
            await self._host(client, allocation, "stop", "--runtime", allocation.runtime, *lease_flags(allocation.options))
        await self.leave(allocation)

    async def sessions(self, options: LaunchOptions) -> list[dict[str, Any]]:
        """Of all targets on that machine whose runtime folder is the same."""
        answer = await self._ask(options, "status")
        way = {"pyz": answer.said.get(scripts.PYZ), "command": answer.said.get(scripts.PYTHON)}
        return [{**json.loads(line), **way} for line in answer.output.splitlines() if line.strip()]

    async def end(self, options: LaunchOptions, runtime: str) -> None:
        await self._ask(options, "stop", "--runtime", runtime, *lease_flags(options))

    def way(self, allocation: Allocation) -> dict[str, Any] | None:
        return {"runtime": allocation.runtime}

    async def leave(self, allocation: Allocation) -> None:
        local, _ = self._sockets.pop(allocation.runtime, (None, None))
        if local is not None:
            Path(local).unlink(missing_ok=True)
            with contextlib.suppress(TargetUnavailable, OSError):
                client = await self._login.client(allocation.options)
                await client.unforward(local, _remote_socket(allocation))

    async def _ask(self, options: LaunchOptions, *arguments: str) -> Answer:
        """What a command of the kernel host prints; no session need be ours."""
        client = await self._login.client(options)
        digest, data = host_zipapp()
        mark = new_mark()
        place = scripts.Place(digest, len(data), options.python, options.setup, options.env, options.cache_dir)
        # What a lease has started may be there before there is any session: an environment that is made for it.
        script = (scripts.host_here if lease_flags(options) else scripts.ask)(mark, place, arguments)
        answer = await client.run(script, mark, {scripts.HOST: [data]})
        if scripts.ERROR in answer.said:
            raise TargetUnavailable(f"{options.target!r} ({options.host}): {answer.said[scripts.ERROR]}")
        if "run" not in answer.said or answer.code != 0:
            said = (answer.errors or answer.output).strip()[-1000:] or "(nothing)"
            raise TargetUnavailable(
                f"{options.target!r} ({options.host}): the sessions there could not be asked (exit code {answer.code}). "
                f"It said:\n    {said}"
            )
        return answer

    async def _forward(self, client: SshClient, allocation: Allocation, local: str) -> str | None:
        """`local`, which leads to the host from now on; None where sockets are not forwarded, which only using one tells."""
        remote = _remote_socket(allocation)
        await client.forward(local, remote)
        if allocation.runtime not in self._sockets:
            loop = asyncio.get_running_loop()
            status = await loop.run_in_executor(None, ask_status, HostInfo(allocation.runtime, 0, local))
            if status.get("state") == "silent" and await self.poll(allocation) is JobState.RUNNING:
                await client.unforward(local, remote)
                self._forwards = False
                return None
        self._sockets[allocation.runtime] = (local, client.path)
        return local

    async def _bridge(self, client: SshClient, allocation: Allocation) -> Opened:
        mark = new_mark()
        details = allocation.details
        return await bridged(client, scripts.attach(mark, details["command"], details["pyz"], allocation.runtime), mark)

    async def _host(self, client: SshClient, allocation: Allocation, *arguments: str) -> Answer:
        mark = new_mark()
        details = allocation.details
        return await client.run(scripts.host_command(mark, details["command"], details["pyz"], *arguments), mark)


def secret_values(options: LaunchOptions) -> dict[str, str]:
    """Of the environment variables that a target names; TargetUnavailable for one that is not set here."""
    missing = [name for name in options.secrets if name not in os.environ]
    if missing:
        raise TargetUnavailable(
            f"{options.target!r} is to be given {', '.join(missing)}, which this notebook's environment does not have. "
            "Set it where Jupyter is started, or take it out of the target's secrets."
        )
    return {name: os.environ[name] for name in options.secrets}


def _remote_socket(allocation: Allocation) -> str:
    return f"{allocation.runtime}/{ATTACH_SOCKET}"
