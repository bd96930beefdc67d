"""Many streams over one: a trunk to kernel hosts of this machine, over a real shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from farcell.backends import scripts
from farcell.backends.base import Allocation, JobState, LaunchOptions, Opened
from farcell.backends.shell import LocalShell, bridged, host_zipapp, new_mark
from farcell.backends.ssh.questions import Ask
from farcell.backends.trunk import NoHost, OverTrunk, Trunk
from farcell.connection import Connection
from farcell.errors import TargetUnavailable
from farcell.threads import loop_thread
from hostclient import LaunchedHost, launched, wait_until
from sandbox import Sandbox

T = TypeVar("T")


class Place:
    """This machine as another one: what its trunk has told and lost."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.begun = 0
        self.lost = 0
        self.fails = False
        self.hosts: list[str] = []
        self.streams: list[Opened] = []
        pyz = box.folder / "host.pyz"
        pyz.write_bytes(host_zipapp()[1])
        self._pyz = str(pyz)
        self.trunk = Trunk(self._begin, self._told, self._gone)

    async def _begin(self) -> Opened:
        self.begun += 1
        if self.fails:
            raise TargetUnavailable("the line is down")
        mark = new_mark()
        script = scripts.trunk(mark, sys.executable, self._pyz, self.box.variables(), True)
        opened = await bridged(LocalShell("here"), script, mark)
        self.streams.append(opened)
        return opened

    def _told(self, hosts: list[str]) -> None:
        self.hosts = hosts

    def _gone(self) -> None:
        self.lost += 1

    def way(self, allocation: Allocation) -> dict[str, str]:
        return {"runtime": allocation.runtime}

    tells_hosts = True

    async def shell(self, options: LaunchOptions, ask: Ask | None = None) -> LocalShell:
        return LocalShell("here")

    def open_and_close(self, way: dict[str, str]) -> None:
        opened = run(self.trunk.open(way))
        loop_thread().loop.call_soon_threadsafe(opened.endpoint.close)
        loop_thread().loop.call_soon_threadsafe(opened.close)

    def observer(self, host: LaunchedHost) -> Connection:
        options = LaunchOptions(target="t", backend="local")
        over = OverTrunk(self, self.trunk, "local")
        allocation = Allocation(options, str(host.runtime), host.pid, None, {})
        return Connection(over, allocation, lambda message, bulk: None, lambda death: None, "observer", messages=False)


@pytest.fixture
def place() -> Iterator[Place]:
    box = Sandbox()
    place = Place(box)
    yield place
    run(place.trunk.close())
    assert not box.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return loop_thread().submit(work).result(60)


def test_many_hosts_are_asked_over_one_stream(place: Place) -> None:
    """Which come and go is told; what one is asked hides none from the others, not even when it hangs."""
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(launched(place.box.runtime, env=place.box.environment())) for _ in range(3)]
        observers = [place.observer(host) for host in hosts]
        for observer in observers:
            run(observer.open())
        os.kill(hosts[0].pid, signal.SIGSTOP)
        try:
            silent = observers[0].request("status")
            for observer in observers[1:]:
                assert observer.request("status").result(20)["state"] in ("starting", "idle")
            assert not silent.done()
        finally:
            os.kill(hosts[0].pid, signal.SIGCONT)
        assert silent.result(20)["runtime"] == str(hosts[0].runtime)
        assert place.begun == 1
        assert wait_until(lambda: place.hosts == sorted(host.runtime.name for host in hosts))
        for observer in observers:
            run(observer.close())
    assert wait_until(lambda: place.hosts == [])


def test_a_session_that_is_over_is_known_to_be(place: Place) -> None:
    with launched(place.box.runtime, env=place.box.environment()) as host:
        observer = place.observer(host)
        run(observer.open())
    assert wait_until(lambda: observer.closed, 20) and "ended" in str(observer.ended)
    run(observer.close())
    with pytest.raises(NoHost):
        run(place.trunk.open({"runtime": str(host.runtime)}))


def test_all_streams_come_back_after_a_cut(place: Place) -> None:
    """Over one new trunk."""
    with (
        launched(place.box.runtime, env=place.box.environment()) as one,
        launched(place.box.runtime, env=place.box.environment()) as other,
    ):
        observers = [place.observer(one), place.observer(other)]
        for observer in observers:
            run(observer.open())
        place.streams[0].close()
        assert wait_until(lambda: place.lost == 1)
        assert [observer.request("status").result(20)["pid"] for observer in observers] == [one.pid, other.pid]
        assert place.begun == 2
        for observer in observers:
            run(observer.close())


def test_a_trunk_that_cannot_be_had_is_tried_once(place: Place) -> None:
    """Until its place is known to answer; one that has never carried anything, not even then."""
    with launched(place.box.runtime, env=place.box.environment()) as host:
        way = {"runtime": str(host.runtime)}
        place.open_and_close(way)
        place.fails = True
        place.streams[0].close()
        assert wait_until(lambda: place.lost == 1)
        for _ in range(3):
            with pytest.raises(TargetUnavailable, match="the line is down"):
                run(place.trunk.open(way))
        assert place.begun == 2 and not place.trunk.is_useless
        place.fails = False
        place.trunk.forgive()
        place.open_and_close(way)
        never = Trunk(_no_way, lambda hosts: None)
        with pytest.raises(TargetUnavailable):
            run(never.open(way))
        never.forgive()
        assert never.is_useless
        over = OverTrunk(place, never, "local")
        assert run(over.poll(Allocation(LaunchOptions(target="t", backend="local"), "", None, None, {}))) is JobState.GONE


async def _no_way() -> Opened:
    await asyncio.sleep(0)
    raise TargetUnavailable("The bridge to the kernel host ended before it began: ")
