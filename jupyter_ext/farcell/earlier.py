"""Sessions on this machine that an earlier kernel of the same notebook left behind: it crashed or was restarted.

Their object numbers mean nothing to a new kernel, so one that is idle holds nothing anybody can reach and is ended. One
that still runs a cell is left to end it, and the person is told where it is.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from farcell_host import runtime

from .backends.base import Allocation, Backend, LaunchOptions
from .connection import Connection
from .errors import FarcellError

STATUS_TIMEOUT_S = 3.0
_own: set[str] = set()


def own(folder: str) -> None:
    """This process's own session: not an earlier one."""
    _own.add(folder)


async def settle(backend: Backend, options: LaunchOptions) -> list[str]:
    """Ends what is idle; what to say about the rest."""
    if not options.notebook or not options.backend.startswith("local"):
        return []
    said = []
    for host in runtime.live_hosts():
        if host.runtime in _own or host.fields.get("notebook") != options.notebook:
            continue
        allocation = Allocation(options, host.runtime, host.pid, host.socket)
        status = await _status(backend, allocation)
        if status is not None and (status.get("run") is not None or status.get("waiting_runs")):
            since = time.strftime("%H:%M", time.localtime(host.fields.get("started")))
            said.append(
                f"A session that this notebook's earlier kernel started at {since} (pid {host.pid}) still runs a cell. "
                "This kernel cannot take over its output and changes. "
                f"To end it: python -m farcell_host stop --runtime {host.runtime}"
            )
        elif status is not None:
            await backend.release(allocation)
    return said


async def _status(backend: Backend, allocation: Allocation) -> dict[str, Any] | None:
    """What the host says of itself; None when it does not answer."""
    observer = Connection(backend, allocation, lambda *message: None, lambda text: None, lambda reason: None, "observer")
    try:
        await asyncio.wait_for(observer.open(), STATUS_TIMEOUT_S)
        return await asyncio.wait_for(asyncio.wrap_future(observer.request("status")), STATUS_TIMEOUT_S)
    except (FarcellError, OSError, asyncio.TimeoutError):
        return None
    finally:
        await observer.close()
