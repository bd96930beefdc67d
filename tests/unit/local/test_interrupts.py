"""Ctrl-C while a session is at work, as real signals to this process."""

from __future__ import annotations

import signal
import threading

import pytest
from farcell.interrupts import Interrupts


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_is_kept_until_all_is_free_again() -> None:
    """Nothing in the block is cut short; the handler before is back when KeyboardInterrupt comes."""
    before, done = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        done.append("the block")
    assert done == ["the block"] and signal.getsignal(signal.SIGINT) is before


def test_an_error_of_the_block_comes_before_an_interrupt() -> None:
    """What went wrong is what is shown."""
    with pytest.raises(OSError, match="full"), Interrupts():
        press()
        raise OSError("full")


def test_the_notebooks_own_code_is_cut_short_once() -> None:
    """A second Ctrl-C does not cut the cleaning up short."""
    cleaned = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        try:
            with interrupts.raising():
                try:
                    press()
                finally:
                    press()
                    cleaned.append("inside")
        finally:
            press()
            cleaned.append("outside")
    assert cleaned == ["inside", "outside"]


def test_an_earlier_interrupt_ends_a_wait_before_it_begins() -> None:
    """Kept while a lock was being taken, it is not left for the end of a long wait."""
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        press()
        with interrupts.raising():
            pytest.fail("the wait began")


def test_a_run_is_told_of_each() -> None:
    """A question to the person in the middle of a run is ended by Ctrl-C; the run is told of all others."""
    told = []
    with Interrupts() as interrupts, interrupts.telling(lambda: told.append("run")):
        press()
        with pytest.raises(KeyboardInterrupt), interrupts.raising():
            press()
        press()
    assert told == ["run", "run"]


def test_inside_another_block() -> None:
    """A session that is used while another one is at work gives its handler back."""
    told = []
    with Interrupts() as outer, outer.telling(lambda: told.append("outer")):
        with Interrupts() as inner, inner.telling(lambda: told.append("inner")):
            press()
        press()
    assert told == ["inner", "outer"]


def test_other_threads_get_no_signals() -> None:
    """Nothing is installed there."""
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.raising():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
