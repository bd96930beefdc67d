"""Whether one user's flood through a broker slows another's cell: output without end, and uploads one after the other.

All runs on this machine, so a flood costs processor time wherever it goes: it is compared with the same flood past the broker,
from and to the same machine. What it costs beyond that is what the two users share of the broker. They take turns, and of
each the best turn counts: a machine is never quieter than it is.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
from multiprocessing.synchronize import Event
from pathlib import Path

from figures import Figure
from frontend import FrontEnd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from brokers import BrokerProcess
from sandbox import Sandbox

CELLS, WARM_UP, TURNS = 30, 5, 4
FLOODS = {
    "output": ("%%remote {target}\nfor _ in range(20_000):\n    print('x' * 200)",),
    "uploads": ("data = os.urandom(32 << 20)", "%%remote {target}\nlen(data)"),
}
PAST = "local-attach"
BEGIN_S = 120.0


def measure() -> list[Figure]:
    box = Sandbox()
    try:
        with BrokerProcess(box) as broker, FrontEnd("%load_ext farcell") as front_end:
            _define(front_end, broker.url, broker.user("bob").token)
            samples: dict[str, list[list[float]]] = {name: [] for flood in FLOODS for name in (flood, f"{flood} past it")}
            samples["nobody"] = []
            front_end.run("%%remote pool\n1")
            token = broker.user("ada").token
            for _ in range(TURNS):
                samples["nobody"].append(_cells(front_end))
                for flood in FLOODS:
                    samples[flood].append(_beside(front_end, flood, "pool", broker.url, token))
                    samples[f"{flood} past it"].append(_beside(front_end, flood, PAST, broker.url, token))
            front_end.run("%remote stop pool")
    finally:
        box.close()
    best = {name: min(map(statistics.median, turns)) for name, turns in samples.items()}
    print(", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in best.items()))
    return [
        Figure(
            f"a cell through a broker beside another's flood of {flood}, to the same flood past it",
            best[flood] / best[f"{flood} past it"],
            1.5,
            True,
            samples={name: [each for turn in turns for each in turn] for name, turns in samples.items()},
        )
        for flood in FLOODS
    ]


def _define(front_end: FrontEnd, url: str, token: str) -> None:
    file = front_end.cache / "token"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(token)
    front_end.define_target("pool", backend="broker", url=url, token_file=str(file))


def _cells(front_end: FrontEnd) -> list[float]:
    return [front_end.run("%%remote pool\nx = 1").seconds for _ in range(WARM_UP + CELLS)][WARM_UP:]


def _beside(front_end: FrontEnd, flood: str, target: str, url: str, token: str) -> list[float]:
    context = multiprocessing.get_context("spawn")
    begun, enough = context.Event(), context.Event()
    process = context.Process(target=_flood, args=(flood, target, url, token, begun, enough))
    process.start()
    try:
        if not begun.wait(BEGIN_S):
            raise TimeoutError(f"the flood of {flood} has not begun in {BEGIN_S:g} s")
        return _cells(front_end)
    finally:
        enough.set()
        process.join(BEGIN_S)
        if process.exitcode != 0:
            raise RuntimeError(f"the flood of {flood} to {target} has ended with {process.exitcode}")


def _flood(flood: str, target: str, url: str, token: str, begun: Event, enough: Event) -> None:
    """In a process of its own, whose front end's work is not the other's."""
    with FrontEnd("%load_ext farcell\nimport os") as front_end:
        _define(front_end, url, token)
        front_end.run(f"%%remote {target}\n1")
        begun.set()
        while not enough.is_set():
            for cell in FLOODS[flood]:
                front_end.run(cell.format(target=target), keep=False)
        front_end.run(f"%remote stop {target}")


if __name__ == "__main__":
    for figure in measure():
        print(figure)
