"""What a kernel host keeps for the ledger of the notebook, until one says that it has it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from farcell_host.protocol.messages import Channel, Message
from hostclient import Driver, is_alive, launched, wait_until
from sandbox import Sandbox

pytestmark = pytest.mark.timeout(120)


def runs(driver: Driver) -> dict[str, dict[str, Any]]:
    return {run["id"]: run for run in driver.ask("usage").fields["runs"]}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(sandbox: Sandbox) -> list[Path]:
    return sorted((sandbox.cache / "usage").glob("*.jsonl"))


def test_a_run_is_measured_until_a_ledger_has_it(sandbox: Sandbox) -> None:
    """By the host: how it ended, how long it took, how much went there and came back; told again until it is taken."""
    with launched(sandbox.runtime, "--target", "gpu-a", "--price-per-hour", "2.5") as host, host.driver() as driver:
        driver.run("import time; time.sleep(0.3)", run="first").check()
        driver.run("1 / 0", run="second")
        session = driver.ask("usage").fields["session"]
        assert (session["target"], session["price_per_hour"], session["id"]) == ("gpu-a", 2.5, host.info["session"])
        assert session["started"] <= session["as_of"] and "ended" not in session
        first, second = runs(driver).values()
        assert (first["id"], first["state"], second["state"]) == ("first", "ok", "error")
        assert 0.3 <= first["seconds"] < 30 and first["ended"] - first["started"] == pytest.approx(first["seconds"])
        assert first["sent_bytes"] > 100 and second["received_bytes"] > 100 and first["session_id"] == session["id"]
        assert driver.ask("recorded", runs=["first"]).ok
        assert list(runs(driver)) == ["second"]


def test_buffers_count_whatever_way_they_go(sandbox: Sandbox) -> None:
    """Of the request, of what the running cell asked for, and of the reply."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        run = driver.start("print('begun', flush=True)\nlater", buffers=(bytes(5000),))
        asked = driver.wait_message("farcell_fetch_request")
        answer = {"run": run, "found": [], "missing": ["later"], "error": None, "state": None}
        header = {**asked.header, "farcell_run": run}
        reply = Message.build(Channel.STDIN, "farcell_fetch_reply", answer, header=header, buffers=(bytes(7000),))
        driver.send(reply)
        assert driver.finish(run).reply["ename"] == "NameError"
        assert 12000 < runs(driver)[run]["sent_bytes"] < 20000


def test_a_run_that_its_kernel_does_not_survive(sandbox: Sandbox) -> None:
    """Has used what it had used until then; one that never began has not been."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.start("import os; os._exit(3)", run="dies")
        driver.wait_message("farcell_kernel_died")
        driver.run("1", run="refused")
        driver.ask("restart")
        driver.start("print('begun', flush=True)\nimport time\ntime.sleep(600)", run="killed")
        driver.wait(lambda: any("begun" in m.content["text"] for m in driver.messages if m.msg_type == "stream"))
        assert runs(driver)["killed"]["state"] == "running"
        driver.ask("restart")
        assert {id: run["state"] for id, run in runs(driver).items()} == {"dies": "died", "killed": "killed"}


def test_an_observer_takes_nothing(sandbox: Sandbox) -> None:
    """It may look; what a ledger has is said by the driver."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("1", run="first").check()
        with host.driver(role="observer") as observer:
            assert list(runs(observer)) == ["first"]
            assert not observer.ask("recorded", runs=["first"]).ok
        assert list(runs(driver)) == ["first"]


@pytest.mark.parametrize("how", ["killed", "ended by itself"])
def test_what_a_host_has_left_comes_by_the_next(sandbox: Sandbox, how: str) -> None:
    """Nobody took it while it lived: the next session's host tells it, until it is taken."""
    options = ("--keep", "0.5") if how == "ended by itself" else ()
    with launched(sandbox.runtime, "--target", "gpu-a", *options) as host:
        with host.driver() as driver:
            driver.run("1", run="lost").check()
            assert wait_until(lambda: any("run" in line for file in files(sandbox) for line in lines(file)))
        if how == "killed":
            os.kill(host.pid, signal.SIGKILL)
            assert wait_until(lambda: not is_alive(host.pid))
        else:
            assert host.wait_gone()
        session = host.info["session"]
    with launched(sandbox.runtime) as host, host.driver() as driver:
        assert driver.ask("usage").fields["left"] == []
        (left,) = driver.ask("usage", left=True).fields["left"]
        assert (left["session"]["id"], left["session"]["target"]) == (session, "gpu-a")
        assert ("ended" in left["session"]) == (how != "killed")
        assert [(run["id"], run["state"]) for run in left["runs"]] == [("lost", "ok")]
        assert driver.ask("recorded", left=[session]).ok
        assert driver.ask("usage", left=True).fields["left"] == []


def test_a_session_in_a_job_says_so(sandbox: Sandbox) -> None:
    """One in an allocation that somebody else holds: its end is not the session's."""
    job = {
        "SLURM_JOB_ID": "12",
        "SLURM_CLUSTER_NAME": "c1",
        "SLURM_RESTART_COUNT": "1",
        "SLURM_JOB_START_TIME": "1800000000",
        "SLURM_GPUS_ON_NODE": "2",
        "SLURM_JOB_NUM_NODES": "2",
    }
    with launched(sandbox.runtime, "--target", "a100", env={**os.environ, **job}) as host, host.driver() as driver:
        said = driver.ask("usage").fields
        as_of = said["job"].pop("as_of")
        expected = {"id": "c1:12.1", "scheduler_id": "12", "target": "a100", "started": 1_800_000_000, "gpus": 4}
        assert (said["job"], said["session"]["job_id"]) == (expected, "c1:12.1")
        assert "ended" not in driver.ask("stop", records=True).fields["usage"]["job"]
        assert as_of > 0


def test_a_living_hosts_records_are_its_own(sandbox: Sandbox) -> None:
    """Another session's host does not tell them, and does not remove them."""
    with launched(sandbox.runtime) as one, one.driver() as driver, launched(sandbox.runtime) as other, other.driver() as beside:
        driver.run("1", run="mine").check()
        assert wait_until(lambda: any("run" in line for file in files(sandbox) for line in lines(file)))
        assert beside.ask("usage", left=True).fields["left"] == []
        beside.ask("recorded", left=[one.info["session"]])
        assert list(runs(driver)) == ["mine"]
        assert any(file.stem == one.info["session"] for file in files(sandbox))


@pytest.mark.parametrize("works", [True, False])
def test_a_notebook_that_keeps_a_ledger_gets_the_rest(sandbox: Sandbox, works: bool) -> None:
    """With the answer to its stop, the end included; nothing is left on the target, unless the ledger may be at fault."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("1", run="last").check()
        usage = driver.ask("stop", records=True, recorded=works).fields["usage"]
        assert [run["id"] for run in usage["runs"]] == ["last"] and usage["session"]["ended"] >= usage["session"]["started"]
        assert host.wait_gone()
    assert [file.stem for file in files(sandbox)] == ([] if works else [host.info["session"]])


def test_where_nothing_can_be_written_a_session_works(sandbox: Sandbox) -> None:
    """The records are in memory then."""
    (sandbox.cache / "usage").write_text("in the way")
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("1", run="first").check()
        assert wait_until(lambda: "cannot be written" in (host.runtime / "host.log").read_text())
        assert list(runs(driver)) == ["first"]
