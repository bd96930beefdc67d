"""What the broker's own troubles do to those who use it: a restart, a database that is gone, a queue that is full."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brokers import BrokerProcess, error_of, pool_policy
from notebooks import Notebook, Running
from sandbox import Sandbox
from services.postgres import Postgres


@pytest.fixture
def broker(sandbox: Sandbox) -> Iterator[BrokerProcess]:
    with BrokerProcess(sandbox, slots=1) as broker:
        yield broker


def test_a_run_goes_on_while_the_broker_is_killed_and_started_again(broker: BrokerProcess, plain_notebook: Notebook) -> None:
    """Its output comes whole, its result is merged, and the lease is the one it was."""
    ada, notebook = broker.user("ada"), plain_notebook
    broker.define(broker.box, ada)
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote pool\nimport os, time\npid = os.getpid()").check()
    (before,) = ada.client.get("api/leases").json()["leases"]
    code = "%%remote pool\nfor n in range(60):\n    print(n, flush=True)\n    time.sleep(0.1)\nsame = pid == os.getpid()"
    running = notebook.start(code)
    running.until("5\n")
    broker.kill()
    broker.start()
    cell = running.finish(60).check()
    assert cell.stdout.split() == [str(n) for n in range(60)]
    assert notebook.value("same") is True
    (after,) = ada.client.get("api/leases").json()["leases"]
    assert (after["id"], after["fence"], after["state"]) == (before["id"], before["fence"], "running")
    notebook.run("%remote stop pool").check()
    assert ada.until(before["id"], "ended")["reason"]


def test_a_run_is_picked_up_after_the_notebook_s_kernel_was_killed(broker: BrokerProcess, plain_notebook: Notebook) -> None:
    """As when a hub culls the server of a user who has left: the lease is kept, and so is all that the run shows and makes."""
    ada, notebook = broker.user("ada"), plain_notebook
    broker.define(broker.box, ada)
    notebook.run("%load_ext farcell").check()
    code = "import time\nfor n in range(20):\n    print(n, flush=True)\n    time.sleep(0.1)\nmade = 7"
    notebook.run(f"%%remote pool --detach\n{code}").check()
    (before,) = ada.client.get("api/leases").json()["leases"]
    notebook.restart(now=True)
    notebook.run("%load_ext farcell").check()
    listed = notebook.run("%remote sessions --all").check()
    assert before["id"] in str(listed.outputs)
    attached = notebook.run("%remote attach").check()
    assert attached.stdout.split() == [str(n) for n in range(20)]
    assert notebook.value("made") == 7
    (after,) = ada.client.get("api/leases").json()["leases"]
    assert (after["id"], after["fence"]) == (before["id"], before["fence"])
    notebook.run("%remote stop pool").check()
    ada.until(before["id"], "ended")


def test_what_waits_says_its_place_and_may_be_left_or_withdrawn(broker: BrokerProcess, plain_notebook: Notebook) -> None:
    """As a job in a scheduler's queue: shown in the cell, taken up by the next one, ended by Ctrl-C where nobody can be asked."""
    ada, bob, notebook = broker.user("ada"), broker.user("bob"), plain_notebook
    broker.define(broker.box, ada)
    held = bob.until(bob.lease()["id"], "running")
    notebook.run("%load_ext farcell").check()
    running = notebook.start("%%remote pool\n6 * 7", answers=["l"])
    running.until(waits)
    (waiting,) = ada.client.get("api/leases").json()["leases"]
    assert (waiting["state"], waiting["place"]) == ("waiting", 1)
    notebook.interrupt()
    running.until(lambda cell: bool(cell.prompts))
    assert "[l]eave it there for the next cell" in running.prompts[0]["prompt"] and "detach" not in running.prompts[0]["prompt"]
    assert running.finish(30).error is not None
    assert ada.look(waiting["id"])["state"] == "waiting"
    running = notebook.start("%%remote pool\n6 * 7", answers=["c"])
    running.until(waits)
    assert [each["id"] for each in ada.client.get("api/leases").json()["leases"]] == [waiting["id"]]
    notebook.interrupt()
    assert running.finish(30).error is not None
    assert ada.until(waiting["id"], "ended")["reason"] == "It was given back."
    running = notebook.start("%%remote pool\n6 * 7")
    running.until(waits)
    bob.end(held["id"])
    assert running.finish(60).check().result == "42"
    notebook.run("%remote stop pool").check()


def waits(cell: Running) -> bool:
    return "waits, next in the queue" in "\n".join(cell.lines)


def test_with_the_database_gone_cells_run_on_and_new_leases_wait_visibly(
    sandbox: Sandbox, postgres: Postgres, plain_notebook: Notebook
) -> None:
    notebook = plain_notebook
    with postgres.database() as url, BrokerProcess(sandbox, slots=2, database=url) as broker:
        ada, bob = broker.user("ada"), broker.user("bob")
        broker.define(sandbox, ada)
        broker.define(sandbox, bob, "bobs", lends="pool")
        notebook.run("%load_ext farcell").check()
        notebook.run("%%remote pool\nx = 1").check()
        postgres.stop()
        try:
            assert notebook.run("%%remote pool\nx += 1\nx").check().result == "2"
            answer = bob.client.post("api/leases", json={"key": "k" * 8, "target": "pool"})
            assert (answer.status_code, error_of(answer)) == (503, "database")
            running = notebook.start("%%remote bobs\n6 * 7")
            running.until(lambda cell: "database" in "\n".join(cell.lines))
        finally:
            postgres.start()
        assert running.finish(60).check().result == "42"
        assert notebook.run("%%remote pool\nx += 1\nx").check().result == "3"
        notebook.run("%remote stop pool").check()
        notebook.run("%remote stop bobs").check()
        for user in (ada, bob):
            assert user.client.get("api/leases").status_code == 200


@pytest.mark.slow
def test_a_lease_whose_time_is_up_is_warned_saved_and_ended(sandbox: Sandbox, plain_notebook: Notebook) -> None:
    """The notebook is told before, and gets back what only the session had; the next cell asks for a new lease."""
    policy = pool_policy(sandbox, slots=1) + '[idle]\nwarning = "4s"\n'
    with BrokerProcess(sandbox, policy) as broker:
        ada, notebook = broker.user("ada"), plain_notebook
        broker.define(sandbox, ada, walltime="12s")
        notebook.run("%load_ext farcell").check()
        notebook.run("%%remote pool --keep kept\nkept = 6 * 7").check()
        (first,) = ada.client.get("api/leases").json()["leases"]
        warned = ada.until(first["id"], "ending")
        assert warned["reason"] and warned["ends_at"]
        assert ada.until(first["id"], "ended")["reason"]
        again = notebook.run("%%remote pool\nkept").check()
        assert again.result == "42", again.outputs
        (second,) = ada.client.get("api/leases").json()["leases"]
        assert second["fence"] > first["fence"]
        notebook.run("%remote stop pool --no-fetch").check()
        ada.until(second["id"], "ended")
