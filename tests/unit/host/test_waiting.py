"""Whoever waits for news can be told to stop at any moment."""

from __future__ import annotations

import asyncio

import pytest
from farcell_host.waiting import within


@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_waits_for_news_ends_though_there_is_some_just_then(turns: int) -> None:
    """As a broker that is told to end while a lease ends: it would look on for ever."""

    async def looks(event: asyncio.Event) -> None:
        while True:
            event.clear()
            await within(event, 60.0)

    async def ended() -> bool:
        event = asyncio.Event()
        looking = asyncio.ensure_future(looks(event))
        for _ in range(3):
            await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        looking.cancel()
        done, _ = await asyncio.wait({looking}, timeout=1.0)
        looking.cancel()
        return bool(done) and looking.cancelled()

    assert asyncio.run(ended())


def test_the_time_is_up_or_it_is_set() -> None:
    async def waited() -> bool:
        event = asyncio.Event()
        await within(event, 0.01)
        is_set = event.is_set()
        event.set()
        await asyncio.wait_for(within(event, 60.0), 10.0)
        return is_set

    assert asyncio.run(waited()) is False
