"""Waiting on a loop for so long: for an event, or for what a coroutine or a future comes to.

`asyncio.wait_for` is not used: before Python 3.12, cancelled at the moment at which it has its answer, it returns that and is not
cancelled (bpo-42130), and whoever asks in a loop never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def within(event: asyncio.Event, timeout_s: float | None) -> None:
    """Until it is set, or the time is up."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=timeout_s)
    finally:
        waiting.cancel()


async def result_within(work: Awaitable[T], timeout_s: float, on_unused: Callable[[T], None] | None = None) -> T:
    """What `work` returns or raises; raises asyncio.TimeoutError when the time is up, once the cancelled work has ended.

    `on_unused` is given a result that comes when this has been cancelled: a stream, say, that is to be closed.
    """
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({working}, timeout=timeout_s)
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
    except asyncio.CancelledError:
        working.add_done_callback(lambda _: _dispose(working, on_unused))
        working.cancel()
        await asyncio.wait({working})
        raise
    if working.cancelled():
        raise asyncio.TimeoutError
    return working.result()


def _dispose(working: asyncio.Future[T], on_unused: Callable[[T], None] | None) -> None:
    """Its error, too, has been seen: asyncio would print it."""
    if not working.cancelled() and working.exception() is None and on_unused is not None:
        on_unused(working.result())
