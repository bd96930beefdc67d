"""Where a person stands with a broker, for `%remote usage`: what is used, what may be, and the place in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ...errors import FarcellError
from ...tables import Table
from ...targets import Targets
from ...threads import loop_thread
from .client import BrokerClient


def standings(targets: Targets) -> list[Table]:
    """A table for each broker, and one for what waits or runs there; a broker that cannot be asked says so in its place."""
    found: dict[str, BrokerClient] = {}
    for name in targets.names:
        options = targets.get(name).launch_options()
        if options.backend == "broker" and options.url is not None:
            found.setdefault(options.url, BrokerClient.of(options))
    told = loop_thread().submit(_all(list(found.values()))).result()
    return [table for client, each in zip(found.values(), told, strict=True) for table in _tables(client.url, each)]


async def _all(clients: list[BrokerClient]) -> list[Any]:
    return list(await asyncio.gather(*(client.get("api/usage") for client in clients), return_exceptions=True))


def _tables(url: str, told: Any) -> list[Table]:
    if isinstance(told, FarcellError):
        return [Table(f"Share of {url}", [], [], str(told))]
    if isinstance(told, BaseException):
        raise told
    currency = str(told.get("currency") or "")
    rows = [[period, *_use(told[period], currency)] for period in ("day", "month")]
    gpus = f"{told['held']} of {told['max_gpus']}" if told["max_gpus"] is not None else str(told["held"])
    title = f"Share of {url}: {100 * told['used_share']:.0f} % used of {100 * told['share']:.0f} %, {gpus} GPUs held"
    tables = [Table(title, ["this", "GPU-hours", "of", f"money {currency}".rstrip(), "of"], rows)]
    leases = [
        [each["id"], each["target"], each["gpus"], _state(each), each["notebook"], each["reason"]] for each in told["leases"]
    ]
    if leases:
        tables.append(Table("Leases", ["lease", "target", "GPUs", "state", "notebook", "why"], leases))
    return tables


def _use(use: Mapping[str, Any], currency: str) -> list[str]:
    def limit(value: float | None) -> str:
        return "no limit" if value is None else f"{value:g}"

    return [f"{use['gpu_hours']:.2f}", limit(use["max_gpu_hours"]), f"{use['money']:.2f}", limit(use["max_money"])]


def _state(lease: Mapping[str, Any]) -> str:
    return f"waiting, number {lease['place']}" if lease["place"] is not None else str(lease["state"])
