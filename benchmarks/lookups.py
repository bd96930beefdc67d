"""A pure-Python loop of ten million lookups of globals and builtins: what the remote namespace costs."""

from __future__ import annotations

from figures import Figure, interleave, ratio
from frontend import FrontEnd

SETUP = "%load_ext farcell\ntotal = 0"
# Two globals and three builtins a turn.
LOOP = "for turn in range(2_000_000):\n    len; total; abs; turn; max"


def measure() -> list[Figure]:
    with FrontEnd(SETUP) as front_end:
        samples = interleave(
            {"local": lambda: front_end.run(LOOP).seconds, "remote": lambda: front_end.run("%%remote\n" + LOOP).seconds}, 15, 2
        )
    return [Figure("10 million lookups, to local", ratio(samples, "remote", "local"), 2.2, True, samples=samples)]
