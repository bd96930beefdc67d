"""Which threads may change the notebook's values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from farcell_host.threads import users


class OfAPackage(threading.Thread):
    """As a progress bar's monitor is."""


OfAPackage.__module__ = "tqdm._monitor"


def started(make: Callable[..., threading.Thread], event: threading.Event) -> threading.Thread:
    thread = make(target=event.wait, daemon=True)
    thread.start()
    return thread


def test_plain_threads_and_timers_count() -> None:
    """Until they have ended; the main thread and those of packages do not."""
    event = threading.Event()
    own, other = started(threading.Thread, event), started(OfAPackage, event)
    timer = threading.Timer(60, event.wait)
    timer.start()
    try:
        assert set(users([threading.main_thread(), own, other, timer])) == {own, timer}
        assert own in users(threading.enumerate())
    finally:
        event.set()
        timer.cancel()
        for thread in (own, other, timer):
            thread.join()


def test_a_pool_counts_while_it_works() -> None:
    """Idle workers do nothing until somebody gives them work."""
    event, begun = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2, thread_name_prefix="tested") as pool:
        future = pool.submit(lambda: (begun.set(), event.wait()))
        assert begun.wait(10)
        workers = [thread for thread in threading.enumerate() if thread.name.startswith("tested")]
        assert users(workers) == workers
        event.set()
        future.result(10)
        while users(workers):  # it says that it is idle only after the result is there
            threading.Event().wait(0.001)
        pool.submit(int).result(10)
