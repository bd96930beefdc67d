"""Whoever waits for news can be told to stop at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from farcell_host.waiting import result_within, within

Waits = Callable[[asyncio.Event], Awaitable[object]]

FOR_NEWS: list[Waits] = [
    lambda event: within(event, 60.0),
    lambda event: result_within(event.wait(), 60.0),
    lambda event: result_within(asyncio.ensure_future(event.wait()), 60.0),
]


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("wait", FOR_NEWS)
def test_a_loop_that_waits_for_news_ends_though_there_is_some_just_then(wait: Waits, turns: int) -> None:
    """As a broker that is told to end while a lease ends, or an observer while a host answers: it would look on for ever."""

    async def looks(event: asyncio.Event) -> None:
        while True:
            event.clear()
            await wait(event)

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


def test_a_result_an_error_or_the_end_of_the_time_once_the_work_has_ended() -> None:
    ended: list[str] = []

    async def work(answer: str | None) -> str:
        try:
            if answer is None:
                await asyncio.Event().wait()
            assert answer
            return answer
        finally:
            await asyncio.sleep(0)
            ended.append(str(answer))

    async def waited() -> None:
        assert await result_within(work("yes"), 60.0) == "yes"
        with pytest.raises(AssertionError):
            await result_within(work(""), 60.0)
        with pytest.raises(asyncio.TimeoutError):
            await result_within(work(None), 0.01)
        assert ended == ["yes", "", "None"]

    asyncio.run(waited())


@pytest.mark.parametrize("turns", range(4))
def test_what_nobody_waits_for_any_more_is_handed_on(turns: int) -> None:
    """As a stream that opens just when its connection is closed: it was left open."""
    unused: list[str] = []
    returned: list[str] = []

    async def waited() -> bool:
        opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def opens() -> str:
            returned.append(await asyncio.shield(opened))
            return returned[0]

        waiting = asyncio.ensure_future(result_within(opens(), 60.0, unused.append))
        for _ in range(3):
            await asyncio.sleep(0)
        opened.set_result("stream")
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=1.0)
        return waiting.cancelled()

    assert unused == (returned if asyncio.run(waited()) else []), "it is used or handed on, and never both"
