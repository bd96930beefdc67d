"""Two brokers on one database: one leads, both answer and relay, and each takes over when the other is gone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from brokers import BrokerProcess
from farcell.backends.base import Unreachable
from farcell_broker.hosts import Hosts, machine
from farcell_host import runtime
from lending import Lender, lease, shared
from notebooks import Notebook
from sandbox import Sandbox
from services.postgres import Postgres

SLOTS = 3


@pytest.fixture(params=["sqlite", "postgres"])
def brokers(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[tuple[BrokerProcess, BrokerProcess]]:
    """The first one leads."""
    if request.param == "sqlite":
        yield from both(sandbox, None)
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield from both(sandbox, url)


def both(box: Sandbox, url: str | None) -> Iterator[tuple[BrokerProcess, BrokerProcess]]:
    with BrokerProcess(box, database=url, slots=SLOTS) as first:
        held = first.user("root")
        held.end(held.until(held.lease()["id"], "running")["id"])
        with first.another() as second:
            yield first, second


def test_what_is_asked_of_either_is_granted_once_and_by_either_ended(brokers: tuple[BrokerProcess, BrokerProcess]) -> None:
    """Twelve users with one key each, asked of both at the same moment: twelve leases, three hosts, and the rest in one order."""
    names = [f"user{n:02}" for n in range(12)]
    users = [(broker.user(name), name) for name in names for broker in brokers]
    with ThreadPoolExecutor(len(users)) as pool:
        asked = list(pool.map(lambda each: each[0].lease(key=f"key-of-{each[1]}"), users))
    assert len({each["id"] for each in asked}) == len(names)
    root = [broker.user("root", is_admin=True) for broker in brokers]
    by_name = [{user.name: user for user, _ in users[each::2]} for each in (0, 1)]

    def told(which: int, *states: str) -> list[dict[str, Any]]:
        found = root[which].client.get("api/leases", params={"all": 1}).json()["leases"]
        return [each for each in found if each["state"] in states]

    while len(told(1, "running")) < SLOTS:
        held = told(1, "granted", "running")
        assert len(held) <= SLOTS
        for each in held:
            by_name[1][each["user"]].until(each["id"], "running")
    running = told(0, "running")
    assert [each["id"] for each in running] == [each["id"] for each in told(1, "running")]
    assert len(list(runtime.live_hosts())) == SLOTS
    assert sorted(each["place"] for each in told(0, "waiting")) == list(range(1, len(names) - SLOTS + 1))
    next_one = min(told(1, "waiting"), key=lambda each: each["place"])
    # The one that does not lead is told to end it, and sees it ended and the next one running.
    by_name[1][running[0]["user"]].end(running[0]["id"])
    by_name[1][next_one["user"]].until(next_one["id"], "running")
    assert len(list(runtime.live_hosts())) == SLOTS
    for each in (*told(0, "waiting"), *told(0, "running")):
        by_name[1][each["user"]].client.delete(f"api/leases/{each['id']}").raise_for_status()
    for each in asked:
        by_name[0][each["user"]].until(each["id"], "ended")
    grants = root[0].client.get("api/audit", params={"action": "lease.granted"}).json()["entries"]
    assert len(grants) == len({each["lease_id"] for each in grants})
    assert not list(runtime.live_hosts())


def test_a_cell_runs_through_one_in_a_session_that_the_other_has_started(
    brokers: tuple[BrokerProcess, BrokerProcess], plain_notebook: Notebook
) -> None:
    """A lease that is ended through one has its streams through the other closed, and a new one is asked for there."""
    first, second = brokers
    notebook, ada = plain_notebook, second.user("ada")
    second.define(second.box, ada)
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote pool\nx = 41").check()
    assert notebook.run("%%remote pool\nx += 1\nx").check().result == "42"
    told = [broker.user("ada").client.get("api/leases", params={"status": 1}).json()["leases"] for broker in brokers]
    (lent,) = told[0]
    assert lent["state"] == "running" and len({each[0]["status"]["pid"] for each in told}) == 1
    assert all(each[0]["status"]["is_answering"] for each in told)
    first.user("ada").end(lent["id"])
    again = notebook.run("%%remote pool\nx").check()
    assert again.result == "42"
    (lent,) = ada.client.get("api/leases").json()["leases"]
    notebook.run("%remote stop pool").check()
    first.user("ada").until(lent["id"], "ended")


def test_what_the_leader_had_begun_when_it_was_killed_the_other_brings_to_its_end(
    brokers: tuple[BrokerProcess, BrokerProcess],
) -> None:
    """Each lease that it was starting gets one host, also where that was on its way up; what was to end ends."""
    first, _ = brokers
    here, there = [broker.user("ada") for broker in brokers]
    ending = here.until(here.lease()["id"], "running")
    begun = [here.lease() for _ in range(SLOTS - 1)]
    for each in begun:
        here.until(each["id"], "granted", "running")
    here.client.delete(f"api/leases/{ending['id']}").raise_for_status()
    first.kill()
    there.until(ending["id"], "ended")
    running = [there.until(each["id"], "running") for each in begun]
    assert sorted(host.pid for host in runtime.live_hosts()) == sorted(each["pid"] for each in running)
    first.start()  # which does not lead now
    for each in running:
        here.end(each["id"])
    assert not list(runtime.live_hosts())


def test_a_broker_has_no_way_to_a_session_on_the_machine_of_another_and_does_not_take_it_for_gone(lender: Lender) -> None:
    """A target that is the broker's own machine is another one for a broker elsewhere."""
    host = lender.start(lease(devices=(), gpus=0), shared(gpus=None, slots=1))
    assert host["machine"] == machine() and lender.is_there(host)
    elsewhere = {**host, "machine": ["an-id", "gpu7"]}
    other = Hosts({"pool": shared(gpus=None, slots=1)})
    for asked in (other.status, other.end, other.open_stream):
        with pytest.raises(Unreachable, match="runs on gpu7, where the broker was that has started it"):
            lender.do(asked(elsewhere))
    assert lender.is_there(host)
