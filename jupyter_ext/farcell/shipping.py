"""`%remote env ship`, for the thread that runs the cell: it waits, answers what ssh asks, and shows how far it is."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .backends.base import LaunchOptions, ShellBackend, backend_named
from .backends.shipment import Shipment, ship
from .desk import Desk
from .errors import Refused, TargetUnavailable
from .relay.line import Line
from .relay.notebook import Notebook
from .threads import loop_thread

if TYPE_CHECKING:
    from .backends.ssh.questions import Ask

_SILENCE_S = 180.0
"""Nothing that is heard of for so long comes to an end."""


def ship_to(options: LaunchOptions, notebook: Notebook, packages: Sequence[str]) -> Shipment:
    """Sends what a kernel needs to a target, and these packages; raises what `shipment.ship` raises."""
    backend = backend_named(options.backend)
    if not isinstance(backend, ShellBackend):
        raise Refused(
            f"{options.target!r} runs on this machine, which has what there is to send. %remote env sync installs packages there."
        )
    desk = Desk(notebook, f"asking {options.target!r} what it has")
    going = loop_thread().submit(_ship(backend, options, desk.ask if notebook.allow_stdin else None, packages, desk))
    try:
        with Line(notebook, lambda seconds: f"{desk.about} ({seconds:.0f} s)"):
            desk.wait(going, _SILENCE_S)
    except concurrent.futures.TimeoutError:
        raise TargetUnavailable(f"{options.target!r}: nothing was heard for {_SILENCE_S:.0f} s while {desk.about}.") from None
    finally:
        going.cancel()
    return going.result(0)


async def _ship(backend: ShellBackend, options: LaunchOptions, ask: Ask | None, packages: Sequence[str], desk: Desk) -> Shipment:
    return await ship(await backend.shell(options, ask), options, packages, desk.tell)
