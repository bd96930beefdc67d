"""State is pushed while a page watches, and nothing at all is done while none does."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from farcell_host import runtime
from farcell_host.commands import ask_status
from hostclient import LaunchedHost, wait_until
from jupyter_servers import JupyterServer

UNWATCHED_S = 60.0


def connections(host: LaunchedHost) -> int:
    """How many look at it or use it, the one that asks apart."""
    found = runtime.find_host(host.runtime)
    assert found is not None
    return len(ask_status(found)["connections"]) - 1


SETTLED_S = 20.0


def turns(pid: int) -> dict[int, int]:
    """How often each thread of the process, but the one that serves HTTP, has gone to sleep so far: an idle one sleeps on."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        if int(task.name) != pid:
            lines = (task / "status").read_text().splitlines()
            found[int(task.name)] = int(next(line for line in lines if line.startswith("voluntary_ctxt")).split()[1])
    return found


def test_a_session_begun_by_another_process_is_seen_and_its_changes_are_pushed(server: JupyterServer) -> None:
    """Each event says only that there is something new; what it is, is fetched."""
    server.watch()
    with server.events() as events, server.host("--target", "gpu-a", "--notebook", "work/twin.ipynb") as host:
        event = events.next()
        assert set(event) - {"__timestamp__", "__schema__", "__schema_version__", "__metadata_version__"} == {
            "schema_id", "server", "revision",
        }  # fmt: skip
        (session,) = server.until(lambda snapshot: [s for s in snapshot["sessions"] if s["state"] == "idle"])["sessions"]
        assert (session["target"], session["notebook"], session["is_here"], session["is_live"]) == (
            "gpu-a", "work/twin.ipynb", True, True,
        )  # fmt: skip
        assert session["memory_bytes"] > 10_000_000 and session["idle_since"] <= time.time()
        with host.driver() as driver:
            gate = server.box.folder / "gate"
            run = driver.start(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
            seen = server.until(lambda snapshot: snapshot["sessions"][0]["run"] == run)
            assert seen["sessions"][0]["state"] == "busy" and "interrupt" in seen["sessions"][0]["actions"]
            assert [(each["id"], each["state"], each["seen_from_start"]) for each in seen["runs_in_progress"]] == [
                (run, "running", True)
            ]
            until = time.monotonic() + 20
            while events.next()["revision"] < seen["revision"]:
                assert time.monotonic() < until
            gate.touch()
            driver.finish(run).check()
            over = server.until(lambda snapshot: snapshot["sessions"][0]["run"] is None)
            assert over["sessions"][0]["is_driven"] and over["revision"] > seen["revision"]
    gone = server.until(lambda snapshot: not snapshot["sessions"])
    assert gone["revision"] > over["revision"] and not gone["telemetry"]


def test_sessions_are_told_of_before_they_have_answered(server: JupyterServer) -> None:
    """At once, with whoever begins to watch: one that hangs hides neither itself nor others."""
    with server.host("--target", "hangs") as hanging, server.host("--target", "well"):
        os.kill(hanging.pid, signal.SIGSTOP)
        try:
            server.watch()
            assert {each["target"] for each in server.snapshot()["sessions"]} == {"hangs", "well"}
            states = server.until(lambda snapshot: "idle" in {each["state"] for each in snapshot["sessions"]})["sessions"]
            assert {each["target"]: each["state"] for each in states} == {"hangs": "unheard", "well": "idle"}, "it was waited for"
        finally:
            os.kill(hanging.pid, signal.SIGCONT)
        server.until(lambda snapshot: {each["state"] for each in snapshot["sessions"]} == {"idle"})


def test_the_answer_to_a_watch_brings_the_snapshot_if_that_is_asked_for(server: JupyterServer) -> None:
    """With what folders tell, before any host is asked; then all are."""
    with server.host("--target", "a"), server.host("--target", "b"):
        watch = server.post("watch", {"page": "p", "snapshot": True}).json()
        snapshot = watch["snapshot"]
        assert {each["target"]: each["state"] for each in snapshot["sessions"]} == {"a": "unheard", "b": "unheard"}
        assert (snapshot["server"], snapshot["revision"], snapshot["watching"]) == (watch["server"], watch["revision"], 1)
        heard = server.until(lambda snapshot: {each["state"] for each in snapshot["sessions"]} == {"idle"})
        again = server.post("watch", {"page": "p", "snapshot": True}).json()["snapshot"]
        assert again["sessions"] == heard["sessions"] or again["revision"] > heard["revision"]
        assert server.watch()["snapshot"] is None


def test_a_change_is_told_within_a_second(server: JupyterServer) -> None:
    """From the beginning of a run to the event, with the snapshot fetched; the quickest of a few, on a machine that is busy."""
    server.watch()
    took = []
    with server.host() as host, host.driver() as driver:
        for attempt in range(5):
            gate = server.box.folder / f"told-{attempt}"
            server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["state"] == "idle")
            with server.events() as events:
                began = time.monotonic()
                run = driver.start(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
                events.next()
                server.until(lambda snapshot: snapshot["sessions"][0]["state"] == "busy")
                took.append(time.monotonic() - began)
            gate.touch()
            driver.finish(run).check()
            if took[-1] < 1.0:
                break
    assert min(took) < 1.0


@pytest.mark.slow
def test_unwatched_there_is_no_timer_no_query_and_no_connection(server: JupyterServer) -> None:
    """For a minute no thread but the one that serves HTTP wakes up, and the host has no observer."""
    with server.host() as host:
        server.watch()
        server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["is_live"])
        assert connections(host) == 1
        assert server.ask("DELETE", "watch/p").status_code == 204
        assert wait_until(lambda: connections(host) == 0)

        began, before, woken = time.monotonic(), turns(server.pid), []
        quiet_since = began  # on a busy machine what was under way takes its time
        while time.monotonic() - quiet_since < UNWATCHED_S:
            assert connections(host) == 0
            time.sleep(0.2)
            if (now := turns(server.pid)) != before:
                quiet_since, before = time.monotonic(), now
                woken.append(round(quiet_since - began, 1))
            assert quiet_since - began < SETTLED_S, f"awake after so many seconds: {woken}"
        snapshot = server.snapshot()
        assert snapshot["watching"] == 0 and snapshot["looked_at"] < time.time() - UNWATCHED_S


def test_watched_the_same_count_is_not_zero(server: JupyterServer) -> None:
    """So that the test before this one tests something."""
    with server.host():
        server.watch()
        server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["is_live"])
        before = turns(server.pid)
        time.sleep(2.5)
        assert turns(server.pid) != before


def test_a_lease_runs_out_by_itself(server: JupyterServer) -> None:
    """Another page's goes on; one that is renewed, too."""
    server.watch("short", 1.0)
    server.watch("long", 30.0)
    server.until(lambda snapshot: snapshot["watching"] == 1, 5)
    with server.host() as host:
        assert wait_until(lambda: connections(host) == 1)
        server.watch("long", 1.0)
        assert wait_until(lambda: connections(host) == 0)
        server.until(lambda snapshot: snapshot["watching"] == 0)


def test_an_unchanged_snapshot_is_not_sent_twice(server: JupyterServer) -> None:
    answer = server.get("snapshot")
    again = server.get("snapshot", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"") and again.headers["ETag"] == answer.headers["ETag"]
    server.watch()
    server.until(lambda snapshot: snapshot["watching"] == 1, 5)
    assert server.get("snapshot", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 200


def test_a_session_that_is_idle_raises_no_revision(server: JupyterServer) -> None:
    with server.host():
        server.watch()
        server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["state"] == "idle")
        server.until(lambda snapshot: snapshot["telemetry"] and snapshot["telemetry"][0]["state"] != "unasked")
        time.sleep(1)
        before = server.snapshot()["revision"]
        time.sleep(3)
        assert server.snapshot()["revision"] == before


def test_sessions_are_told_truly_to_whoever_does_not_watch(server: JupyterServer) -> None:
    assert server.get("sessions").json()["sessions"] == []
    with server.host() as host:
        (session,) = server.get("sessions").json()["sessions"]
        assert (session["id"], session["state"]) == (host.runtime.name, "idle") or session["state"] == "starting"
        assert server.get(f"sessions/{session['id']}").json()["runtime"] == str(host.runtime)
        assert wait_until(lambda: connections(host) == 0)
    assert server.get("sessions").json()["sessions"] == []


def test_a_restart_of_the_server_is_noticed() -> None:
    """By its name; the sessions are still there."""
    with JupyterServer() as server:
        first = server.watch()
        with server.host():
            server.until(lambda snapshot: snapshot["sessions"])
            server.restart()
            snapshot = server.snapshot()
            assert (
                snapshot["server"] != first["server"] and snapshot["watching"] == 0 and snapshot["revision"] <= first["revision"]
            )
            server.watch()
            server.until(lambda snapshot: [each for each in snapshot["sessions"] if each["is_live"]])


def test_a_host_that_hangs_is_said_to_be_silent(server: JupyterServer) -> None:
    """Its folder says that it lives; nothing else waits for it."""
    with server.host() as host:
        os.kill(host.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            (session,) = server.get("sessions").json()["sessions"]
            assert session["state"] == "silent" and session["actions"] == ["stop"]
            assert time.monotonic() - began < 20
        finally:
            os.kill(host.pid, signal.SIGCONT)
