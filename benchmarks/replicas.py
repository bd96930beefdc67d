"""What state costs without a kernel around it: two replicas joined in memory, against pickling and hashing alone."""

from __future__ import annotations

import importlib.util
import pickle
import statistics
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy
import xxhash
from farcell_host.state import Payload, Replica
from farcell_host.state.hashing import piece_digests
from figures import Figure, interleave, ratio

SMALLEST, LARGEST = 1_000, 1_000_000
SIZES = (SMALLEST, 10_000, 100_000, LARGEST)
BUFFER_BYTES, TABLE_ROWS = 256 << 20, 100_000
ROUNDS, WARM_UP = 10, 2


class Pair:
    """The notebook's side and the target's, as it is before and after a remote cell; bytes are really copied."""

    def __init__(self) -> None:
        self.here: dict[str, Any] = {"__name__": "__main__"}
        self.there: dict[str, Any] = {"__name__": "__main__"}
        self.local, self.remote = Replica(self.here, "local"), Replica(self.there, "remote")

    def ship(self, name: str) -> None:
        _pass_on(self.local, self.remote, self.local.capture([name]))

    def collect(self, name: str) -> None:
        _pass_on(self.remote, self.local, self.remote.collect([name], limit_bytes=None))


def _pass_on(giver: Replica, taker: Replica, capture: Any) -> None:
    payload = giver.pack(capture)
    copies = [bytes(each) for each in payload.buffers]
    bulk = [memoryview(bytearray(each)) for each in payload.bulk]
    taker.apply(taker.unpack(Payload(payload.header, copies, bulk)))
    giver.sent(payload)


def measure() -> list[Figure]:
    return [*_growth(), _hashing(), *([_table()] if importlib.util.find_spec("pandas") else [])]


def _growth() -> list[Figure]:
    """Time per object: of many small lists that are new to the target, and of one changed among them, there and back."""
    new: dict[int, list[float]] = {}
    changed: dict[int, list[float]] = {}
    plain: dict[int, list[float]] = {}
    for size in SIZES:
        repeats = 1 if size == LARGEST else 5  # a million objects are samples enough
        pairs = [_pair_with_lists(size) for _ in range(repeats)]
        graph = pairs[0].here["graph"]
        plain[size] = [_seconds(lambda graph=graph: pickle.loads(pickle.dumps(graph, 5))) / size for _ in range(repeats)]
        new[size] = [_seconds(lambda pair=pair: pair.ship("graph")) / size for pair in pairs]
        changed[size] = [_seconds(lambda pair=pair: _change_one(pair)) / size for pair in pairs]
    return [
        _grown("sending lists, time an object at 1e6 to that at 1e3", new),
        _grown("one of the lists changed, there and back, time an object at 1e6 to that at 1e3", changed),
        Figure(
            "one of 1e4 lists changed, there and back, to pickling all of them",
            statistics.median(changed[10_000]) / statistics.median(plain[10_000]), 30, True,
        ),
    ]  # fmt: skip


def _grown(name: str, per_object: dict[int, list[float]]) -> Figure:
    value = statistics.median(per_object[LARGEST]) / statistics.median(per_object[SMALLEST])
    return Figure(name, value, 4, True, samples={f"{size} lists": seconds for size, seconds in per_object.items()})


def _pair_with_lists(size: int) -> Pair:
    pair = Pair()
    pair.here["graph"] = [[number] for number in range(size)]
    return pair


def _change_one(pair: Pair) -> None:
    pair.here["graph"][1].append(None)
    pair.ship("graph")
    pair.there["graph"][2].append(None)
    pair.collect("graph")


def _hashing() -> Figure:
    memory = memoryview(numpy.random.default_rng(0).bytes(BUFFER_BYTES))
    samples = interleave(
        {
            "xxh3": lambda: _seconds(lambda: xxhash.xxh3_128_digest(memory)),
            "pieces": lambda: _seconds(lambda: piece_digests(memory)),
        },
        ROUNDS,
        WARM_UP,
    )
    return Figure("fingerprints of 256 MB, speed to that of xxh3 over it", ratio(samples, "xxh3", "pieces"), 0.8, False)


def _table() -> Figure:
    import pandas

    generator = numpy.random.default_rng(0)
    columns = {name: [f"{name}{number}" for number in generator.integers(0, 1 << 40, TABLE_ROWS)] for name in "abc"}
    frame = pandas.DataFrame(columns)

    def ship() -> float:
        pair = Pair()
        pair.here["frame"] = frame
        return _seconds(lambda: pair.ship("frame"))

    samples = interleave(
        {"ship": ship, "plain": lambda: _seconds(lambda: cloudpickle.loads(cloudpickle.dumps(frame)))}, ROUNDS, WARM_UP
    )
    return Figure("a table of strings of 1e5 rows, to cloudpickle's dumps and loads", ratio(samples, "ship", "plain"), 1.5, True)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
