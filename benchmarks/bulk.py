"""Large arrays: 256 MB there and back, 1 GB that has not changed, one element of it that has."""

from __future__ import annotations

import statistics

from figures import Figure, interleave, ratio
from frontend import FrontEnd
from peers import Ipyparallel

COUNT = 256 * 2**20 // 4
ROUNDS, WARM_UP = 5, 1
CHUNK_BYTES = 2**20

SETUP = f"""
%load_ext farcell
import numpy as np, xxhash
from farcell.api import workspace
a = np.ones({COUNT}, np.float32)
"""
PAGES = "touched = float({}[::1024].sum())"
LAST = "workspace().runs[-1].summary"


def measure() -> list[Figure]:
    with FrontEnd(SETUP) as front_end:
        with Ipyparallel(front_end):
            there = _there(front_end)
            back = _back(front_end)
        front_end.run("del a")
        unchanged, patched_bytes = _unchanged(front_end)
    extra = statistics.median(unchanged["remote"]) - statistics.median(unchanged["trivial"])
    hashing = statistics.median(unchanged["xxh3"]) - statistics.median(unchanged["local trivial"])
    return [
        Figure("256 MB in, rate to numpy's copy", ratio(there, "copy", "remote"), 0.35, False, samples=there),
        Figure("256 MB in, rate to ipyparallel", ratio(there, "ipyparallel", "remote"), 3, False),
        Figure("256 MB back, rate to numpy's copy", ratio(back, "copy", "remote"), 0.25, False, samples=back),
        Figure("256 MB back, rate to ipyparallel", ratio(back, "ipyparallel", "remote"), 3, False),
        Figure("unchanged 1 GB, to one xxh3 pass", extra / hashing, 2.4, True, samples=unchanged),
        Figure("one element of 1 GB changed, bytes sent in chunks", patched_bytes / CHUNK_BYTES, 1.1, True),
    ]


def _fresh(front_end: FrontEnd) -> None:
    """Another array with other contents, as big: nothing of it is there yet."""
    front_end.run("a = a + np.float32(1)")


def _there(front_end: FrontEnd) -> dict[str, list[float]]:
    def after_fresh(code: str) -> float:
        _fresh(front_end)
        return front_end.run(code).seconds

    def remote() -> float:
        seconds = after_fresh("%%remote\na.sum()")
        sent = front_end.value(f"{LAST}.sent_bytes")
        assert sent >= COUNT * 4, f"only {sent} bytes were sent of an array that is new"
        return seconds

    return interleave(
        {
            "copy": lambda: after_fresh("b = a.copy(); del b"),
            "remote": remote,
            "ipyparallel": lambda: after_fresh("view.push({'a': a}); view.execute('s = a.sum()')"),
        },
        ROUNDS,
        WARM_UP,
    )


def _back(front_end: FrontEnd) -> dict[str, list[float]]:
    """An array born there is brought here and each of its pages read, since a mapping that nobody reads costs nothing."""
    numbers = iter(range(1, 1000))

    def remote() -> float:
        # Under a new name each time: a name that was here already would come back with its cell.
        number = next(numbers)
        name = f"back{number}"
        front_end.run(f"%%remote\nimport numpy as np\n{name} = np.full({COUNT}, {number}, np.float32)")
        assert front_end.value(f"{LAST}.received_bytes") < CHUNK_BYTES, "the array came back before it was asked for"
        seconds = front_end.run(PAGES.format(name)).seconds  # reading the name fetches it
        assert front_end.value(f"bool(({name} == {number}).all())")
        front_end.run(f"del {name}")
        return seconds

    def ipyparallel() -> float:
        front_end.run(f"view.execute('back = np.full({COUNT}, {next(numbers)}, np.float32)')")
        return front_end.run("back = view.pull('back')\n" + PAGES.format("back")).seconds

    def copy() -> float:
        return front_end.run("b = a.copy()\n" + PAGES.format("b") + "; del b").seconds

    return interleave({"copy": copy, "remote": remote, "ipyparallel": ipyparallel}, ROUNDS, WARM_UP)


def _unchanged(front_end: FrontEnd) -> tuple[dict[str, list[float]], int]:
    front_end.run("big = np.ones(2**27)")
    front_end.run("%%remote\nbig[0]")

    def remote() -> float:
        seconds = front_end.run("%%remote\nbig[0]").seconds
        sent = front_end.value(f"{LAST}.sent_bytes")
        assert sent < 64 * 1024, f"{sent} bytes were sent although nothing had changed"
        return seconds

    samples = interleave(
        {
            "remote": remote,
            "trivial": lambda: front_end.run("%%remote\nx = 1").seconds,
            "xxh3": lambda: front_end.run("h = xxhash.xxh3_128_digest(big)").seconds,
            "local trivial": lambda: front_end.run("x = 1").seconds,
        },
        ROUNDS * 2,
        WARM_UP,
    )
    front_end.run("big[1_000_000] = 7")
    front_end.run("%%remote\nassert big[1_000_000] == 7")
    return samples, int(front_end.value(f"{LAST}.sent_bytes"))
