"""Waiting for an event on a loop, for so long."""

from __future__ import annotations

import asyncio


async def within(event: asyncio.Event, timeout_s: float | None) -> None:
    """Until it is set, or the time is up. Cancelled at the moment at which it is set, it is cancelled: wait_for of Python before
    3.12 is not (bpo-42130), and whoever waits in a loop would never end."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=timeout_s)
    finally:
        waiting.cancel()
