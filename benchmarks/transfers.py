"""The stop button while large values are under way: there, there in answer to a name that a running cell reads, and back."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from figures import Figure
from frontend import FrontEnd

ROUNDS, WARM_UP = 20, 1
PATIENCE_S = 60.0
MARGIN = {"local": 16 << 20, "local-attach": 0}  # bytes, files: more than that and the upload has begun
SETUP = """
%load_ext farcell
import numpy as np
large = np.arange(2**26)
quarter = np.arange(2**25)
"""
FETCHING = """%%remote
import sys, time
print("begun", flush=True)
try:
    seen = getattr(sys.modules["__main__"], "lar" + "ge").sum()
    print("over", flush=True)
except KeyboardInterrupt:
    print("caught", repr(time.monotonic()), flush=True)
    raise
"""
BACK = """%%remote
quarter += 1
print("begun", flush=True)
"""


def measure() -> list[Figure]:
    with FrontEnd(SETUP) as front_end:
        uploads = {target: _uploads(front_end, target) for target in ("local", "local-attach")}
        fetches = _fetches(front_end)
        back = _back(front_end)
    beyond = _p95(back["interrupted"]) - _p95(back["plain"])
    return [
        Figure("interrupt of an upload of 512 MB, to idle, p95", _p95(uploads["local"]), 0.2, True, " s", uploads),
        Figure("the same through attach's chunks", _p95(uploads["local-attach"]), 0.2, True, " s"),
        Figure("interrupt reaches a cell that waits for 512 MB, p95", _p95(fetches), 0.2, True, " s", {"fetch": fetches}),
        Figure("interrupt while 256 MB come back, to idle, beyond the same left alone, p95", beyond, 0.2, True, " s", back),
    ]


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _uploads(front_end: FrontEnd, target: str) -> list[float]:
    """Seconds from the interrupt to idle; the cell never begins, or ends at once."""
    front_end.run(f"%%remote {target}\n1")
    kernel = front_end.value(f"__import__('farcell').connect({target!r}).status().kernel_pid")
    begun = partial(_copied_bytes, kernel) if target == "local" else _chunks
    taken: list[float] = []
    while len(taken) < WARM_UP + ROUNDS:
        front_end.run("large = large + 1")  # nothing of it is there yet
        before = begun(front_end)
        stop = _Stop(front_end, lambda before=before: begun(front_end) > before + MARGIN[target], 0.001 * len(taken))
        measured = front_end.run(f"%%remote {target}\nlarge[0]", fails=True, on_text=stop.on_text, poll_s=0.002)
        assert measured.error is not None, f"{target}: the cell was over before the interrupt"
        taken.append(time.monotonic() - stop.sent_at)
    return taken[WARM_UP:]


def _fetches(front_end: FrontEnd) -> list[float]:
    """Seconds from the interrupt to the remote kernel's KeyboardInterrupt."""
    taken: list[float] = []
    while len(taken) < WARM_UP + ROUNDS:
        front_end.run("large = large + 1")
        stop = _Stop(front_end, None, 0.02 + 0.003 * len(taken))
        measured = front_end.run(FETCHING, fails=True, on_text=stop.on_text)
        _, found, caught_at = measured.stdout.partition("caught ")
        assert found, f"the fetch was over before the interrupt: the cell printed {measured.stdout!r}"
        taken.append(float(caught_at.split()[0]) - stop.sent_at)
    return taken[WARM_UP:]


def _back(front_end: FrontEnd) -> dict[str, list[float]]:
    """Seconds from the interrupt to idle, and from the same moment to idle without one: a merge is never left half done.

    Not so late that the cell may be over: an ipykernel that is interrupted between two cells may lose the next request.
    """
    front_end.run("%%remote\nquarter[0]")
    taken: dict[str, list[float]] = {"interrupted": [], "plain": []}
    while len(taken["plain"]) < WARM_UP + ROUNDS:
        for way, samples in taken.items():
            stop = _Stop(front_end, None, 0.003 * len(samples), presses=way == "interrupted")
            before = front_end.value("int(quarter[0])")
            front_end.run(BACK, fails=True, on_text=stop.on_text)
            samples.append(time.monotonic() - stop.sent_at)
            assert front_end.value("int(quarter[0])") == before + 1, "the merge was left out"
    return {way: samples[WARM_UP:] for way, samples in taken.items()}


class _Stop:
    """Presses the button `after_s` seconds after the moment: when `is_time()` says so, else when the cell prints "begun"."""

    def __init__(self, front_end: FrontEnd, is_time: Callable[[], bool] | None, after_s: float, presses: bool = True) -> None:
        self._front_end, self._is_time, self._after_s, self._presses = front_end, is_time, after_s, presses
        self._began = time.monotonic()
        self.sent_at = 0.0

    def on_text(self, text: str) -> None:
        if self.sent_at or not (self._is_time() if self._is_time is not None else "begun" in text):
            assert time.monotonic() - self._began < PATIENCE_S, "the moment never came"
            return
        time.sleep(self._after_s)
        self.sent_at = time.monotonic()
        if self._presses:
            self._front_end.interrupt()


def _copied_bytes(kernel: int, front_end: FrontEnd) -> int:
    """By the remote kernel into its own memory, or in memory files of the notebook's kernel, whichever way is taken."""
    total = int(Path(f"/proc/{kernel}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    for each in Path(f"/proc/{front_end.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if "memfd:" in os.readlink(each):
                total += each.stat().st_blocks * 512
    return total


def _chunks(front_end: FrontEnd) -> int:
    return sum(1 for _ in front_end.cache.rglob("*"))
