"""Whether one user's flood through a broker slows another's cell: output without end, and uploads one after the other.

All runs on this machine, so a flood costs processor time wherever it goes: it is compared with the same flood past the broker,
from and to the same machine. What it costs beyond that is what the two users share of the broker. The floods take turns, a few
cells each, so that whatever else the machine does is beside all of them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import sys
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from figures import Figure
from frontend import FrontEnd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from brokers import BrokerProcess
from sandbox import Sandbox

CELLS, ROUNDS = 6, 15
FLOODS = {
    "output": ("%%remote {target}\nfor _ in range(5_000):\n    print('x' * 200)",),
    "uploads": ("data = os.urandom(32 << 20)", "%%remote {target}\nlen(data)"),
}
PAST = "local-attach"
BEGIN_S = 120.0


def measure() -> list[Figure]:
    samples: dict[str, list[float]] = {name: [] for flood in FLOODS for name in (flood, f"{flood} past it")}
    samples["nobody"] = []
    box = Sandbox()
    try:
        with BrokerProcess(box) as broker, FrontEnd("%load_ext farcell") as front_end, contextlib.ExitStack() as stack:
            _define(front_end, broker.url, broker.user("bob").token)
            token = broker.user("ada").token
            floods = {
                f"{flood}{' past it' * (target == PAST)}": stack.enter_context(Flood(flood, target, broker.url, token))
                for flood in FLOODS
                for target in ("pool", PAST)
            }
            front_end.run("%%remote pool\n1")
            for _ in range(ROUNDS):
                samples["nobody"] += _cells(front_end)
                for name, flood in floods.items():
                    with flood.going_on():
                        samples[name] += _cells(front_end)
            front_end.run("%remote stop pool")
    finally:
        box.close()
    median = {name: statistics.median(values) for name, values in samples.items()}
    print(", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in median.items()))
    return [
        Figure(
            f"a cell through a broker beside another's flood of {flood}, to the same flood past it",
            median[flood] / median[f"{flood} past it"],
            1.5,
            True,
            samples=samples,
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
    """The first one finds caches cold."""
    return [front_end.run("%%remote pool\nx = 1").seconds for _ in range(1 + CELLS)][1:]


class Flood:
    """In a process of its own, whose front end's work is not the other's. It goes on when it is told to."""

    def __init__(self, flood: str, target: str, url: str, token: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._name = f"the flood of {flood} to {target}"
        self._go, self._flows, self._rests, self._enough = (context.Event() for _ in range(4))
        events = (self._go, self._flows, self._rests, self._enough)
        self._process = context.Process(target=_flood, args=(flood, target, url, token, *events))

    def __enter__(self) -> Flood:
        self._process.start()
        self._wait(self._rests)
        return self

    def __exit__(self, *exception: object) -> None:
        self._enough.set()
        self._go.set()
        self._process.join(BEGIN_S)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        self._rests.clear()
        self._go.set()
        self._wait(self._flows)
        yield
        self._go.clear()
        self._wait(self._rests)
        self._flows.clear()

    def _wait(self, event: Event) -> None:
        if not event.wait(BEGIN_S):
            raise TimeoutError(f"{self._name} does not go on (exit code {self._process.exitcode})")


def _flood(flood: str, target: str, url: str, token: str, go: Event, flows: Event, rests: Event, enough: Event) -> None:
    with FrontEnd("%load_ext farcell\nimport os") as front_end:
        _define(front_end, url, token)
        front_end.run(f"%%remote {target}\n1")
        while True:
            if not go.is_set():
                rests.set()
                go.wait()
            if enough.is_set():
                break
            for cell in FLOODS[flood]:
                front_end.run(cell.format(target=target), keep=False)
            flows.set()
        front_end.run(f"%remote stop {target}")


if __name__ == "__main__":
    for figure in measure():
        print(figure.name, figure.value, figure.goal)
