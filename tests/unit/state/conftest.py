"""`pair`: two Replicas joined in memory. Bytes are really copied, pickles are passed as bytes, bulk arrives writable."""

from __future__ import annotations

import itertools
import json
import linecache
from typing import Any

import pytest
from farcell_host.state import ERROR, RESULT, Capture, Delta, Payload, Replica

_numbers = itertools.count(1)


def run_cell(code: str, namespace: dict[str, Any]) -> None:
    """Run code as IPython runs a cell: its source can be found in linecache."""
    filename = f"<cell {next(_numbers)}>"
    linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
    exec(compile(code, filename, "exec"), namespace)


def over_the_wire(payload: Payload) -> Payload:
    """What the peer gets of a payload."""
    header = json.loads(json.dumps(payload.header))
    buffers = [bytes(each) for each in payload.buffers]
    bulk = [memoryview(bytearray(each)) for each in payload.bulk]
    return Payload(header, buffers, bulk)


class Pair:
    """A notebook (`here`) and a remote kernel's namespace (`there`)."""

    def __init__(self, takes_data_alone: bool = False) -> None:
        """`takes_data_alone`: the target has `trust = "data"`."""
        self.takes_data_alone = takes_data_alone
        self.here: dict[str, Any] = {"__name__": "__main__"}
        self.there: dict[str, Any] = {"__name__": "__main__"}
        self.local = Replica(self.here, side="local", takes_data_alone=takes_data_alone)
        self.remote = Replica(self.there, side="remote")
        self.last: Payload = Payload({})
        self.returned: Delta = Delta()

    def cell(self, code: str) -> None:
        """Run a local cell."""
        run_cell(code, self.here)

    def remote_exec(self, code: str) -> None:
        """Run code on the remote side, without an exchange."""
        run_cell(code, self.there)

    def ship(self, *names: str) -> Capture:
        capture = self.local.capture(names)
        self.last = self.local.pack(capture)
        self.remote.apply(self.remote.unpack(over_the_wire(self.last)))
        self.local.sent(self.last)
        return capture

    def collect(self, *names: str, **options: Any) -> Capture:
        options.setdefault("limit_bytes", 1 << 20)
        options.setdefault("is_data", self.takes_data_alone)
        visible = names or tuple(name for name in self.there if not name.startswith("__"))
        capture = self.remote.collect(visible, **options)
        self.last = self.remote.pack(capture)
        self.remote.sent(self.last)
        self.returned = self.local.unpack(over_the_wire(self.last))
        self.local.apply(self.returned)
        return capture

    def run(self, code: str, *names: str, **options: Any) -> Capture:
        """One remote cell: ship what it reads, run it, merge what it changed."""
        self.ship(*names)
        self.remote_exec(code)
        return self.collect(**options)

    def receive(self, payload: Payload) -> None:
        """Whatever a target has sent."""
        self.local.apply(self.local.unpack(over_the_wire(payload)))

    @property
    def result(self) -> Any:
        return self.returned.values[RESULT]

    @property
    def error(self) -> Any:
        return self.returned.values.get(ERROR)


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture(scope="session")
def make_pair() -> type[Pair]:
    """For tests that need a fresh pair for every example."""
    return Pair
