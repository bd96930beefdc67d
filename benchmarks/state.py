"""State in a notebook of 1,000 variables with the usual packages imported: looking at it, and growth with small objects."""

from __future__ import annotations

import importlib.util
import statistics

from figures import Figure, interleave, ratio
from frontend import FrontEnd

ROUNDS, WARM_UP = 100, 10
PACKAGES = ("numpy", "pandas", "torch", "matplotlib.pyplot")
READ = ", ".join(f"v{number}" for number in range(10))
SETUP = """
%load_ext farcell
import time, random
for number in range(1000):
    globals()[f"v{number}"] = {"key": number, "list": [number]}
from farcell.api import workspace
from farcell.exchange import Exchange
from farcell_host.ambient import Ambient

def took(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
"""
AGREED = "ambient = Ambient(is_notebook=True); ambient.agree(ambient.changes()[1])"  # what there is once all is imported
AGREED_AGAIN = "ambient.agree(ambient.changes()[1]); ambient.changes()"
LARGEST, SMALLEST = 1_000_000, 1_000


def measure() -> list[Figure]:
    imported = [name for name in PACKAGES if importlib.util.find_spec(name.partition(".")[0])]
    setup = SETUP + "".join(f"import {name}\n" for name in imported)
    with FrontEnd(setup) as front_end:
        front_end.run(f"%%remote\n_seen = ({READ})")
        front_end.run(AGREED)
        front_end.run("exchange = next(iter(workspace().sessions.values()))._conversation.exchange")
        reads = f"[{', '.join(repr(name) for name in READ.split(', '))}]"
        samples = interleave(
            {
                "local": lambda: front_end.run("x = 1").seconds,
                "remote": lambda: front_end.run("%%remote\nx = 1").seconds,
                "ambient": lambda: _unchanged(front_end),
                "capture": lambda: front_end.value(f"took(lambda: exchange.pack(exchange.capture({reads})))"),
            },
            ROUNDS,
            WARM_UP,
        )
        growth = {size: _per_object(front_end, size) for size in (SMALLEST, LARGEST)}
    per = {size: statistics.median(seconds) / size for size, seconds in growth.items()}
    return [
        Figure("1,000 variables: warm trivial cell, to local", ratio(samples, "remote", "local"), 1.45, True, samples=samples),
        Figure("unchanged ambient state, both sides' looks, to a local cell", 2 * ratio(samples, "ambient", "local"), 0.03, True),
        Figure("capture of ten of 1,000 variables, to a local cell", ratio(samples, "capture", "local"), 0.5, True),
        Figure(
            "capture of lists, time an object at 1e6 to that at 1e3",
            per[LARGEST] / per[SMALLEST],
            3,
            True,
            samples={f"{size} lists": seconds for size, seconds in growth.items()},
        ),
    ]


def _unchanged(front_end: FrontEnd) -> float:
    """Seconds of a look. What was imported since the last one, by a thread of farcell's own say, is agreed on before."""
    front_end.run(AGREED_AGAIN)
    return float(front_end.value("took(ambient.changes)"))


def _per_object(front_end: FrontEnd, size: int) -> list[float]:
    """Seconds of a first capture of so many small lists, which is what quadratic steps would show in."""
    front_end.run(f"graph = [[number] for number in range({size})]")
    return [
        front_end.value("took(lambda: Exchange(globals(), 1, [], lambda name, info: None).capture(['graph'], ambient=False))")
        for _ in range(3)
    ]
