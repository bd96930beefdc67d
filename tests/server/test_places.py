"""Machines that ssh leads to and clusters, seen by a server that asks nobody for a password."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from clusters import jobs
from hostclient import launched, wait_until
from jupyter_servers import JupyterServer
from notebooks import Notebook
from places import over_slurm, over_ssh
from services.asking import Server, serving
from services.nvml import StubNvml
from services.slurm import Slurm
from services.sshd import Sshd

COUNT = 8
"""Sessions on one machine: more than its sshd lets a connection have."""


def command_line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return []


def trunks(place: JupyterServer) -> int:
    """Bridges that carry streams to many sessions."""
    return sum("trunk" in told for told in map(command_line, place.box.processes()))


@pytest.fixture
def place() -> Iterator[JupyterServer]:
    """A server of the test's own: what it knows of other machines outlives no test."""
    with JupyterServer() as server:
        yield server


@pytest.fixture
def notebook_there(place: JupyterServer) -> Iterator[Notebook]:
    with Notebook(place.box) as notebook:
        notebook.run("%load_ext farcell").check()
        yield notebook


def define(server: JupyterServer, name: str, keys: dict[str, Any]) -> None:
    answer = server.post("targets", {"name": name, "keys": keys})
    assert answer.status_code == 201, answer.text


def target(snapshot: Any, name: str) -> Any:
    return next(each for each in snapshot["targets"] if each["name"] == name)


def test_a_session_on_another_machine_is_observed_and_acted_on(
    place: JupyterServer, notebook_there: Notebook, sshd: Sshd, nvml: StubNvml
) -> None:
    """Its changes are pushed, its GPUs are told, its run's log is read, and it is interrupted and stopped over there."""
    keys = over_ssh(place.box, sshd)
    keys["env"] = {**keys["env"], **nvml.environment()}  # type: ignore[dict-item]
    define(place, "far", keys)
    notebook_there.run("%%remote far\nprint('over there')").check()
    place.watch()
    seen = place.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["is_live"], 60)
    (session,) = seen["sessions"]
    assert (session["target"], session["is_here"], session["backend"], session["machine"]) == ("far", False, "ssh", sshd.root)
    assert target(seen, "far")["state"] == "ok" and not seen["faults"]
    seen = place.until(lambda snapshot: snapshot["telemetry"][0]["state"] == "devices", 30)
    assert len(seen["telemetry"][0]["gpus"]) == 2

    going = notebook_there.start("%%remote far\nprint('begun', flush=True)\nimport time\nwhile True: time.sleep(0.02)")
    seen = place.until(lambda snapshot: snapshot["sessions"][0]["state"] == "busy", 30)
    run = seen["sessions"][0]["run"]
    going.until("begun")
    log = place.get(f"runs/{run}/log").json()
    assert [each["text"] for each in log["outputs"]] == ["begun\n"] and not log["is_over"]
    runs = place.get("runs?target=far").json()["runs"]
    assert (runs[0]["id"], runs[0]["state"], runs[0]["session"]) == (run, "running", session["id"])
    assert place.post(f"sessions/{session['id']}/interrupt", {"run": run}).json()["done"] == "interrupted"
    error = going.finish(30).error
    assert error is not None and error.name == "KeyboardInterrupt"
    place.until(lambda snapshot: snapshot["sessions"][0]["state"] == "idle", 30)
    assert place.post(f"sessions/{session['id']}/stop").json()["done"] == "stopped"
    place.until(lambda snapshot: not snapshot["sessions"], 30)


def test_all_sessions_of_a_machine_are_observed_over_one_session_of_its_sshd(place: JupyterServer, nvml: StubNvml) -> None:
    """With their GPUs, also where sockets may not be forwarded; those that come and go are seen, and all again after a cut."""
    with Sshd(max_sessions=2, extra=["AllowStreamLocalForwarding no"]) as server, contextlib.ExitStack() as hosts:
        keys = over_ssh(place.box, server)
        keys["env"] = {**keys["env"], **nvml.environment()}  # type: ignore[dict-item]
        define(place, "far", keys)
        folder = place.box.folder / "far" / "r"
        environment = {**place.box.environment(), **keys["env"]}  # type: ignore[dict-item]

        def begin() -> str:
            return hosts.enter_context(launched(folder, "--target", "far", env=environment)).runtime.name

        def all_are_live(snapshot: Any, count: int) -> bool:
            return [each["is_live"] for each in snapshot["sessions"]] == [True] * count

        def devices(snapshot: Any) -> list[int]:
            return [len(each["gpus"]) for each in snapshot["telemetry"] if each["state"] == "devices"]

        def used(snapshot: Any) -> set[int]:
            return {gpu["utilisation_percent"] for each in snapshot["telemetry"] for gpu in each["gpus"]}

        for _ in range(COUNT):
            begin()
        place.watch()
        place.until(lambda snapshot: all_are_live(snapshot, COUNT), 90)
        place.until(lambda snapshot: devices(snapshot) == [2] * COUNT, 60)
        another = begin()
        seen = place.until(lambda snapshot: all_are_live(snapshot, COUNT + 1), 60)
        assert another in [each["id"] for each in seen["sessions"]]
        assert place.post(f"sessions/{another}/stop").json()["done"] == "stopped"
        place.until(lambda snapshot: all_are_live(snapshot, COUNT), 60)
        server.drop()
        nvml.set(util=77)
        place.until(lambda snapshot: all_are_live(snapshot, COUNT) and used(snapshot) == {77}, 120)
        assert trunks(place) == 1
        place.ask("DELETE", "watch/p")
        assert wait_until(lambda: trunks(place) == 0)


def test_a_place_that_wants_a_password_is_asked_once_and_says_what_to_do(place: JupyterServer) -> None:
    """No second login is tried by itself, whoever looks: accounts are locked for that. `refresh` tries again."""
    with serving(Server(password="open sesame")) as asks:
        known = place.box.folder / "known_hosts"
        config = place.box.folder / "ssh_config"
        config.write_text(
            f"Host gpu-a\n  HostName 127.0.0.1\n  Port {asks.port}\n  User ada\n  UserKnownHostsFile {known}\n"
            "  GlobalKnownHostsFile none\n  StrictHostKeyChecking accept-new\n  IdentityFile none\n  IdentityAgent none\n"
        )
        define(place, "locked", {"backend": "ssh", "host": "gpu-a", "ssh": shlex.join(["ssh", "-F", str(config)])})
        place.watch()
        seen = place.until(lambda snapshot: target(snapshot, "locked")["state"] == "fault", 30)
        (fault,) = seen["faults"]
        assert fault["targets"] == ["locked"] and fault["reason"] == "needs-authentication"
        assert "needs authentication: run %remote reconnect locked" in fault["message"]
        before = asks.logins
        assert place.get("sessions").json()["faults"][0]["message"] == fault["message"]
        time.sleep(6)
        place.ask("DELETE", "watch/p")
        place.watch()
        time.sleep(2)
        assert asks.logins == before, "a refused login was tried again"
        assert place.post("refresh").status_code == 202
        assert wait_until(lambda: asks.logins > before)


def test_a_machine_that_cannot_be_reached_hides_no_other(place: JupyterServer) -> None:
    define(place, "away", {"backend": "ssh", "host": "no-such-host.invalid"})
    with place.host("--target", "here"):
        place.watch()
        seen = place.until(lambda snapshot: snapshot["faults"] and snapshot["sessions"], 60)
        assert seen["faults"][0]["reason"] == "unreachable" and "no-such-host.invalid" in seen["faults"][0]["message"]
        assert target(seen, "local")["state"] == "ok" and seen["sessions"][0]["target"] == "here"
        lost = place.get("sessions/s-none").json()
        assert lost["reason"] == "unknown" and "no-such-host.invalid" in lost["message"]


def test_a_session_in_a_job_is_observed_over_the_login_node(
    place: JupyterServer, notebook_there: Notebook, slurm: Slurm, login_node: Sshd
) -> None:
    """By one bridge there, which goes through the door of its node."""
    define(place, "job", over_slurm(place.box, login_node))
    notebook_there.run("%%remote job\nheld = 41 + 1").check()
    place.watch()
    seen = place.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["is_live"], 90)
    assert seen["sessions"][0]["state"] == "idle" and trunks(place) == 1
    place.until(lambda snapshot: snapshot["telemetry"][0]["state"] != "unasked", 30)
    variables = place.get(f"sessions/{seen['sessions'][0]['id']}/variables").json()["variables"]
    assert [(each["name"], each["preview"]) for each in variables if each["name"] == "held"] == [("held", "42")]
    notebook_there.run("%remote stop job").check()


def test_a_job_that_waits_in_the_queue_is_cancelled(
    place: JupyterServer, notebook_there: Notebook, slurm: Slurm, login_node: Sshd
) -> None:
    """What it waits for is told in Slurm's words; the cell that waits for it is told, too."""
    define(place, "wide", over_slurm(place.box, login_node, gpus=2))
    holding = [slurm.submit("sleep 600", "--gres=gpu:2", f"--nodelist={node}") for node in slurm.nodes]
    waiting = notebook_there.start("%%remote wide\n1")
    waiting.until(lambda cell: "pending" in "\n".join(cell.lines), 60)
    place.watch()
    seen = place.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["state"] == "waiting", 60)
    (session,) = seen["sessions"]
    (queued,) = set(jobs(slurm)) - set(holding)
    assert session["job"] == queued and "Resources" in session["detail"] and session["actions"] == ["stop", "cancel"]
    assert seen["telemetry"][0]["state"] == "unasked"
    done = place.post(f"sessions/{session['id']}/cancel")
    assert done.status_code == 200 and done.json()["done"] == "cancelled", done.text
    cell = waiting.finish(60)
    assert cell.error is not None and f"job {queued} ended, CANCELLED" in cell.error.value
    assert set(jobs(slurm)) == set(holding)
    slurm.run("scancel", *holding)


def test_a_session_in_a_job_is_observed(place: JupyterServer, notebook_there: Notebook, slurm: Slurm, login_node: Sshd) -> None:
    """Through the login node, as its notebook reaches it: changes, logs, GPUs; and its end is its job's."""
    define(place, "a100", over_slurm(place.box, login_node))
    notebook_there.run("%%remote a100\nprint('in a job')").check()
    place.watch()
    seen = place.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["is_live"], 90)
    (session,) = seen["sessions"]
    assert [session["job"]] == jobs(slurm) and session["state"] == "idle" and f"(job {session['job']})" in session["machine"]
    going = notebook_there.start("%%remote a100\nprint('begun', flush=True)\nimport time\nwhile True: time.sleep(0.02)")
    run = place.until(lambda snapshot: snapshot["sessions"][0]["run"], 30)["sessions"][0]["run"]
    going.until("begun")
    assert [each["text"] for each in place.get(f"runs/{run}/log").json()["outputs"]] == ["begun\n"]
    assert place.get("runs").json()["runs"][0]["session"] == session["id"]
    assert place.post(f"sessions/{session['id']}/interrupt").json()["done"] == "interrupted"
    going.finish(60)
    place.until(lambda snapshot: snapshot["sessions"][0]["state"] == "idle", 30)
    assert place.post(f"sessions/{session['id']}/stop", {"yes": True}).json()["done"] == "stopped"
    assert wait_until(lambda: not jobs(slurm), 30)
