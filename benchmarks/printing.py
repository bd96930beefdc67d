"""A hundred thousand printed lines, and how soon the first one is seen."""

from __future__ import annotations

from statistics import median

from figures import Figure, interleave, ratio
from frontend import FrontEnd

LINES = "for i in range(100_000):\n    print('line', i)"
SIZE = sum(len(f"line {i}\n") for i in range(100_000))
FIRST = "import time\nprint('first', flush=True)\ntime.sleep(0.05)"


def measure() -> list[Figure]:
    with FrontEnd("%load_ext farcell") as front_end:

        def lines(magic: str) -> float:
            measured = front_end.run(magic + LINES)
            assert measured.stdout_bytes == SIZE, f"{SIZE - measured.stdout_bytes} bytes of output are missing"
            return measured.seconds

        def first(magic: str) -> float:
            seen = front_end.run(magic + FIRST).first_output_s
            assert seen is not None, "nothing was printed"
            return seen

        many = interleave({"local": lambda: lines(""), "remote": lambda: lines("%%remote\n")}, 9, 2)
        soon = interleave({"local": lambda: first(""), "remote": lambda: first("%%remote\n")}, 40, 5)
    return [
        Figure("100,000 printed lines, rate to local", ratio(many, "local", "remote"), 0.8, False, samples=many),
        # As soon as locally, but for the way there and back: less than anybody sees.
        Figure("first printed line, later than locally", median(soon["remote"]) - median(soon["local"]), 0.01, True, " s", soon),
    ]
