"""Isolation "none": all hosts run under the account that the backend logs in with, one beside the other.

Whoever has such a host can read all that the others have, and on the backend `local` all that the broker has: the policy says
so in so many words (`isolation = "none"`), the panel shows it, and the audit log records it.
"""

from __future__ import annotations

from typing import Any

from farcell.backends.base import Allocation, Backend, JobState, LaunchOptions, Listing, Opened, backend_named

from .base import Host, Wanted

KIND = "none"


class Unisolated:
    """One backend object a target: connections to its machine are shared by all hosts there."""

    keeps_home = True

    def __init__(self) -> None:
        self._backends: dict[tuple[str, str], Backend] = {}

    async def start(self, wanted: Wanted) -> dict[str, Any]:
        allocation = await self._backend(wanted.options).launch(wanted.options)
        return {
            "kind": KIND,
            "lease": wanted.lease,
            "runtime": allocation.runtime,
            "pid": allocation.pid,
            "socket": allocation.socket,
            "details": dict(allocation.details),
        }

    async def abandon(self, wanted: Wanted) -> None:
        """By name: a host that is only just being started is in no list, and need not answer."""
        backend = self._backend(wanted.options)
        if isinstance(backend, Listing) and wanted.options.session is not None:
            await backend.end(wanted.options, wanted.options.session)

    async def open_stream(self, host: Host, options: LaunchOptions) -> Opened:
        return await self._backend(options).open_stream(_allocation(host, options))

    async def poll(self, host: Host, options: LaunchOptions) -> JobState:
        backend, allocation = self._backend(options), _allocation(host, options)
        state = await backend.poll(allocation)
        if state is JobState.GONE and isinstance(backend, Listing):
            await backend.leave(allocation)  # a question to a host that is gone may have made a way to it
        return state

    async def end(self, host: Host, options: LaunchOptions) -> None:
        await self._backend(options).release(_allocation(host, options))

    def _backend(self, options: LaunchOptions) -> Backend:
        key = (options.target, options.backend)
        if key not in self._backends:
            self._backends[key] = backend_named(options.backend)
        return self._backends[key]


def _allocation(host: Host, options: LaunchOptions) -> Allocation:
    """Over `attach.socket` a host on this machine offers no open files, which could not go on to the person's machine."""
    socket = f"{host['runtime']}/attach.socket" if options.backend == "local" else host["socket"]
    return Allocation(options, host["runtime"], host["pid"], socket, host["details"])
