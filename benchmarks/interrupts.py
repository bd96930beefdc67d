"""The stop button: until the remote kernel has its KeyboardInterrupt, and until the front end is idle again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from figures import Figure, interleave
from frontend import FrontEnd

ROUNDS, WARM_UP = 20, 2
# CLOCK_MONOTONIC is one clock for all processes of a machine. What is caught is raised again, so that the whole way back is run.
# spin() is a function: on Python 3.11 and 3.12 an interrupt at the head of a loop that begins the try misses its except.
CATCHING = """import time, asyncio
def spin():
    while True:
        pass
print("begun", flush=True)
try:
    {waiting}
except (KeyboardInterrupt, asyncio.CancelledError):
    print("caught", repr(time.monotonic()), flush=True)
    raise
"""
WAYS = {
    "sleep": CATCHING.format(waiting="time.sleep(60)"),
    "busy": CATCHING.format(waiting="spin()"),
    "await": CATCHING.format(waiting="await asyncio.sleep(3)"),
}
PLACES = {"local": "", "remote": "%%remote\n"}


def measure() -> list[Figure]:
    caught: dict[str, list[float]] = {way: [] for way in WAYS}
    with FrontEnd("%load_ext farcell") as front_end:

        def stop(way: str, magic: str) -> float:
            """Seconds from the interrupt to idle."""
            sent_at = 0.0

            def on_text(text: str) -> None:
                nonlocal sent_at
                if "begun" in text:
                    # Into the wait itself, at no fixed phase of anything.
                    time.sleep(0.03 + 0.02 * len(caught[way]) / ROUNDS)
                    sent_at = time.monotonic()
                    front_end.interrupt()

            measured = front_end.run(magic + WAYS[way], fails=True, on_text=on_text)
            ended = time.monotonic()
            if magic:
                _, found, caught_at = measured.stdout.partition("caught ")
                assert found, f"{way}: the cell printed {measured.stdout!r} and ended in {measured.error}"
                caught[way].append(float(caught_at.split()[0]) - sent_at)
            return ended - sent_at

        def of(way: str, magic: str) -> Callable[[], float]:
            return lambda: stop(way, magic)

        # A plain ipykernel 7 notices the interrupt of an await only when asyncio's own sleep is over: no measure for anything.
        places = [(way, where) for way in WAYS for where in PLACES if (way, where) != ("await", "local")]
        variants = {f"{way}, {where}": of(way, PLACES[where]) for way, where in places}
        samples = interleave(variants, ROUNDS, WARM_UP)
    reached = [seconds for way in WAYS for seconds in caught[way][WARM_UP:]]
    to_idle = {way: statistics.median(samples[f"{way}, remote"]) for way in WAYS}
    local = {way: statistics.median(samples[f"{'sleep' if way == 'await' else way}, local"]) for way in WAYS}
    worst = max(to_idle[way] - 3 * local[way] for way in WAYS)
    return [
        Figure("interrupt reaches the remote kernel, p95", _p95(reached), 0.2, True, " s", caught),
        Figure("idle after an interrupt, beyond 3 times local", worst, 0.2, True, " s", samples),
    ]


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
