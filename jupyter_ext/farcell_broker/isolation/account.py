"""Isolation "account" and "pool": hosts in Unix accounts that the broker is not, started by its helper (`roothelper.py`).

"account" is the user's own account on the target, by the policy's mapping of names. "pool" is an account that the lease holds
alone: between two leases its processes are ended and its home is emptied, and the helper lends it to nobody before.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Sequence
from typing import Any

from farcell.backends.base import JobState, LaunchOptions, Opened, OpenedStream, Unreachable
from farcell.backends.local import launch_flags, parse_launch
from farcell.backends.shell import Answer
from farcell.errors import TargetUnavailable
from farcell_host.stream import from_socket
from farcell_host.waiting import result_within

from ..errors import Refused
from ..roothelper import ACCOUNT
from .base import Host, Wanted
from .shells import Shells

SYSTEM = frozenset({"root", "nobody", "daemon", "bin", "sys", "sync", "mail", "operator"})
"""Refused here already; the helper refuses all accounts of the system by their numbers."""
CONNECT_S = 20.0
AT_ONCE = 2
"""Streams of one account that are being opened: each takes a process, and a flood of one user's must hold up nobody else."""


class HelperAccount:
    """What both kinds have in common."""

    kind = ""
    keeps_home = True

    def __init__(self) -> None:
        self._shells = Shells()
        self._turns: dict[str, asyncio.Semaphore] = {}

    def account_of(self, wanted: Wanted) -> str:
        """Raises Refused."""
        raise NotImplementedError

    async def start(self, wanted: Wanted) -> dict[str, Any]:
        host, options = self._host(wanted), wanted.options
        arguments = ["start", host["account"], host["lease"], host["session"]]
        answer = await self._helper(host, options, arguments, started_with(wanted))
        found = parse_launch(options, "", answer.code, answer.output, answer.errors or answer.output)
        # What a host says is its user's to choose.
        return {**host, "runtime": str(found.runtime)[:200], "pid": found.pid if isinstance(found.pid, int) else None}

    async def abandon(self, wanted: Wanted) -> None:
        await self.end(self._host(wanted), wanted.options)

    def _host(self, wanted: Wanted) -> dict[str, Any]:
        """All that is needed to find it; raises Refused."""
        account = self.account_of(wanted)
        if not re.fullmatch(ACCOUNT, account) or account in SYSTEM:
            raise Refused(
                f"{account!r} is no account on {wanted.place.name!r} in which anything is started for {wanted.user!r}: "
                "account_names of the target says which is."
            )
        return {
            "kind": self.kind,
            "account": account,
            "helper": wanted.place.helper,
            "session": str(wanted.options.session),
            "lease": lease_word(wanted),
        }

    async def open_stream(self, host: Host, options: LaunchOptions) -> Opened:
        if options.backend == "local":
            return await self._connected(host, options)
        return await self._shells.bridge(options, [*command(host), "attach", host["account"], host["session"]])

    async def poll(self, host: Host, options: LaunchOptions) -> JobState:
        try:
            answer = await self._helper(host, options, ["processes", host["account"], host["lease"], host["session"]])
            if answer.code != 0:
                return JobState.UNKNOWN
            said = json.loads(answer.output)
        except (TargetUnavailable, OSError, ValueError):
            return JobState.UNKNOWN
        return JobState.RUNNING if said["host"] else JobState.GONE

    async def end(self, host: Host, options: LaunchOptions) -> None:
        for which in ("TERM", "KILL"):
            await self._done(host, options, ["signal", host["account"], host["lease"], which])

    async def _done(self, host: Host, options: LaunchOptions, arguments: Sequence[str]) -> Answer:
        answer = await self._helper(host, options, arguments)
        if answer.code != 0:
            raise self._failure(options, arguments[0], answer.code, answer.errors)
        return answer

    async def _helper(self, host: Host, options: LaunchOptions, arguments: Sequence[str], given: str = "") -> Answer:
        return await self._shells.run(options, [*command(host), *arguments], given)

    async def _connected(self, host: Host, options: LaunchOptions) -> Opened:
        """On this machine the helper hands over the very socket: no process stands between."""
        async with self._turns.setdefault(host["account"], asyncio.Semaphore(AT_ONCE)):
            return await self._handed_over(host, options)

    async def _handed_over(self, host: Host, options: LaunchOptions) -> Opened:
        ours, its = socket.socketpair()
        with its:
            process = await asyncio.create_subprocess_exec(
                *(*command(host), "connect", host["account"], host["session"]),
                stdin=its.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        with ours:
            try:
                _, errors = await result_within(process.communicate(), CONNECT_S)
            except BaseException:
                process.kill()  # sudo ends what it has started
                await process.wait()
                raise
            if process.returncode != 0:
                raise self._failure(options, "connect", process.returncode, errors.decode(errors="replace"))
            ours.setblocking(False)
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        if not fds:
            raise self._failure(options, "connect", 0, "")
        return OpenedStream(from_socket(socket.socket(fileno=fds[0])))

    def _failure(self, options: LaunchOptions, verb: str, code: int | None, errors: str) -> TargetUnavailable:
        said = errors.strip()[-1000:] or "(nothing)"
        kind = Unreachable if verb == "connect" else TargetUnavailable
        return kind(f"{options.target!r}: the broker's helper did not {verb} (exit code {code}). It said:\n    {said}")


class OwnAccount(HelperAccount):
    kind = "account"

    def account_of(self, wanted: Wanted) -> str:
        return wanted.place.account_of(wanted.user)


class PoolAccount(HelperAccount):
    kind = "pool"
    keeps_home = False

    def account_of(self, wanted: Wanted) -> str:
        if wanted.account is None or wanted.account not in wanted.place.accounts:
            raise Refused(f"The lease holds no account of {wanted.place.name!r}'s pool, but {wanted.account!r}.")
        return wanted.account

    async def end(self, host: Host, options: LaunchOptions) -> None:
        """An account that cannot be wiped is not given back: it is tried again with each call."""
        await super().end(host, options)
        await self._done(host, options, ["wipe", host["account"], host["lease"]])


def command(host: Host) -> list[str]:
    return ["sudo", "-n", "--", host["helper"]]


def lease_word(wanted: Wanted) -> str:
    """Of the lease, as the helper takes it; another grant is another one."""
    word = re.sub(r"[^A-Za-z0-9_-]", "-", wanted.lease)[:48]
    return f"{word}-{wanted.fence}" if word[:1].isalnum() else f"l{word}-{wanted.fence}"


def started_with(wanted: Wanted) -> str:
    """The helper's JSON: the host's environment and flags. Folders of the target's are left to the account."""
    options = wanted.options
    if options.cwd is not None and wanted.place.isolation == "pool":
        raise Refused(f"{wanted.place.name!r}: cwd is for accounts that keep what they have; a pool's begin in an empty home.")
    words = launch_flags(options)
    flags = {name[2:]: value for name, value in zip(words[::2], words[1::2], strict=True)}
    if options.python is not None:
        flags["python"] = options.python
    env = {name: value for name, value in options.env.items() if name not in ("FARCELL_CACHE_DIR", "FARCELL_RUNTIME_DIR")}
    return json.dumps({"env": env, "flags": flags})
