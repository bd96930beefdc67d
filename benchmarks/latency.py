"""What a small remote cell costs, against the same cell run locally and through ipyparallel's %%px."""

from __future__ import annotations

from figures import Figure, interleave, ratio
from frontend import FrontEnd
from peers import Ipyparallel

ROUNDS, WARM_UP = 150, 15

SETUP = """
%load_ext farcell
numbers = {f"key{i}": i for i in range(10)}
def weigh(values, factor):
    return {name: value * factor for name, value in values.items()}
"""
# The dict is another one in every run, so that it must travel.
CHANGE = "numbers['key0'] += 1"
SMALL = "heavy = weigh(numbers, 2)\nheavy['key9']"


def measure() -> list[Figure]:
    with FrontEnd(SETUP) as front_end, Ipyparallel(front_end):
        trivial = interleave(
            {
                "local": lambda: front_end.run("x = 1").seconds,
                "remote": lambda: front_end.run("%%remote\nx = 1").seconds,
                "ipyparallel": lambda: front_end.run("%%px\nx = 1").seconds,
            },
            ROUNDS,
            WARM_UP,
        )

        def small(code: str) -> float:
            front_end.run(CHANGE)
            return front_end.run(code).seconds

        with_state = interleave(
            {"local": lambda: small(SMALL), "remote": lambda: small("%%remote\n" + SMALL)}, ROUNDS // 2, WARM_UP
        )
    return [
        Figure("warm trivial cell, to local", ratio(trivial, "remote", "local"), 1.45, True, samples=trivial),
        Figure("warm trivial cell, to ipyparallel", ratio(trivial, "remote", "ipyparallel"), 1, True),
        Figure(
            "dict and function in, small result back, to local", ratio(with_state, "remote", "local"), 2, True, samples=with_state
        ),
    ]
