"""SIGINT is deferred where it must not cut in."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
from farcell_host.inkernel.interrupts import InterruptGuard


def nothing() -> None:
    """Code that is on no stack here."""


@pytest.fixture
def guard() -> InterruptGuard:
    return InterruptGuard(nothing.__code__)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_outside_of_the_guard(guard: InterruptGuard) -> None:
    """Where nothing is at stake, an interrupt is a KeyboardInterrupt at once."""
    with guard.serving(), pytest.raises(KeyboardInterrupt), guard.released():
        interrupt()


def test_interrupt_waits_for_the_guards_end(guard: InterruptGuard) -> None:
    """What the guard protects is done to its end, nested guards included."""
    done = []
    with guard.serving():
        with pytest.raises(KeyboardInterrupt), guard.released(), guard:
            with guard:
                interrupt()
                done.append("inner")
            done.append("outer")
        assert done == ["inner", "outer"]
        assert not guard.take_pending()


def test_released_block(guard: InterruptGuard) -> None:
    """A guarded run lets interrupts through while the user's code runs, one kept before included."""
    with guard.serving():
        with pytest.raises(KeyboardInterrupt), guard.released():
            interrupt()
        interrupt()
        with pytest.raises(KeyboardInterrupt), guard.released():
            pytest.fail("the kept interrupt was lost")
        interrupt()
        assert guard.take_pending() and not guard.take_pending()


def test_kept_interrupt_is_not_raised_later(guard: InterruptGuard) -> None:
    """An interrupt that comes when all is done but the reply is forgotten: the run is over."""
    with guard.serving():
        interrupt()
    with guard.serving(), guard.released():
        pass


@pytest.mark.parametrize(("run", "is_meant"), [("second", True), ("first", False)])
def test_an_interrupt_before_the_run_it_is_meant_for(run: str, is_meant: bool) -> None:
    """The request was on its way when the signal came: the run feels it, unless it is another one than was meant."""
    guard, delivered = InterruptGuard(nothing.__code__, lambda: run), []
    before = signal.getsignal(signal.SIGINT)
    guard.listen()
    try:
        interrupt()
        with guard.serving():
            assert not guard.is_pending  # a request that is no run
        for _ in range(2):  # it is felt once
            with guard.serving("second"):
                assert guard.arrivals == int(guard.is_pending)
                delivered.append(guard.is_pending)
    finally:
        signal.signal(signal.SIGINT, before)
    assert delivered == [is_meant, False]


def test_handler_is_restored(guard: InterruptGuard) -> None:
    """Outside of runs the kernel's own handling of SIGINT is as before."""
    before = signal.getsignal(signal.SIGINT)
    with guard.serving():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_are_not_concerned(guard: InterruptGuard) -> None:
    """A guard held by another thread does not hold back the main thread's interrupt."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with guard:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        with guard.serving(), pytest.raises(KeyboardInterrupt), guard.released():
            interrupt()
    finally:
        release.set()
        thread.join(10)


def test_waiting_task_is_cancelled(guard: InterruptGuard) -> None:
    """An async cell that waits is woken and cancelled; the event loop lives on."""

    async def main() -> str:
        task = asyncio.ensure_future(asyncio.sleep(30))
        asyncio.get_running_loop().call_later(0.05, interrupt)
        with guard.serving(), guard.released(), guard.cancelling(task), pytest.raises(asyncio.CancelledError):
            await task
        return "alive"

    assert asyncio.run(asyncio.wait_for(main(), 5)) == "alive"
