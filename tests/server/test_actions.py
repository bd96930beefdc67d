"""Sessions of other processes are stopped, interrupted and restarted, and runs cancelled; what would be lost is said."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hostclient import Driver, LaunchedHost, wait_until
from jupyter_servers import JupyterServer


def waiting_for(gate: Path) -> str:
    return f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"


@contextmanager
def busy(server: JupyterServer) -> Iterator[tuple[LaunchedHost, Driver, str, Path]]:
    """A session with a run in progress."""
    gate = server.box.folder / f"gate-{uuid.uuid4().hex[:6]}"
    with server.host("--target", "t") as host, host.driver() as driver:
        run = driver.start(waiting_for(gate))
        server.watch()
        server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["run"] == run)
        yield host, driver, run, gate


def test_an_idle_session_is_stopped(server: JupyterServer) -> None:
    with server.host("--target", "t") as host:
        answer = server.post(f"sessions/{host.runtime.name}/stop")
        assert (answer.status_code, answer.json()["done"]) == (200, "stopped"), answer.text
        assert host.wait_gone()
        assert server.get(f"sessions/{host.runtime.name}").status_code == 404


def test_a_session_with_a_run_is_stopped_only_with_yes(server: JupyterServer) -> None:
    with busy(server) as (host, _, run, _):
        refused = server.post(f"sessions/{host.runtime.name}/stop", {})
        assert (refused.status_code, refused.json()["reason"], refused.json()["runs"]) == (409, "runs-lost", [run])
        assert run[:8] in refused.json()["message"] and "yes" in refused.json()["message"]
        assert server.snapshot()["sessions"][0]["run"] == run
        assert server.post(f"sessions/{host.runtime.name}/stop", {"yes": True}).json()["done"] == "stopped"
        assert host.wait_gone()


def test_results_that_nobody_has_taken_are_lost_only_with_yes(server: JupyterServer) -> None:
    with server.host("--target", "t") as host:
        with host.driver() as driver:
            driver.acknowledges = False
            run = driver.start("x = 1")
            driver.finish(run).check()
        refused = server.post(f"sessions/{host.runtime.name}/stop")
        assert (refused.status_code, refused.json()["runs"]) == (409, [run])
        session = server.get(f"sessions/{host.runtime.name}").json()
        assert session["untaken_runs"] == [run] and session["runs_left"] == [run]


def test_what_runs_is_interrupted(server: JupyterServer) -> None:
    """By anybody who looks; a second time there is nothing to interrupt."""
    with busy(server) as (host, driver, run, _):
        answer = server.post(f"sessions/{host.runtime.name}/interrupt", {"run": run})
        assert answer.json() == {"session": host.runtime.name, "done": "interrupted"}, answer.text
        assert driver.finish(run).reply["ename"] == "KeyboardInterrupt"
        assert server.post(f"sessions/{host.runtime.name}/interrupt").json()["done"] == "nothing"
        assert driver.run("1 + 1").check()


def test_a_session_that_nobody_uses_is_kept(server: JupyterServer) -> None:
    """Its time begins anew, as that of a use would; when it ends is known all the while."""
    with server.host("--target", "t", "--idle-timeout", "300") as host, host.driver():
        server.watch()
        begun = server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["ends_at"] is not None)
        session = begun["sessions"][0]
        assert (session["ends_why"], session["ends_lead_s"]) == ("idle", 75)
        assert 0 < session["ends_at"] - time.time() <= 300
        assert wait_until(lambda: server.get(f"sessions/{host.runtime.name}").json()["as_of"] > session["as_of"] + 3, 30)
        answer = server.post(f"sessions/{host.runtime.name}/keep")
        assert (answer.status_code, answer.json()["done"]) == (200, "kept"), answer.text
        assert server.get(f"sessions/{host.runtime.name}").json()["ends_at"] > session["ends_at"] + 2


def test_a_kernel_is_restarted(server: JupyterServer) -> None:
    """Its notebook is told, and goes on with an empty one."""
    with server.host("--target", "t") as host, host.driver() as driver:
        driver.run("x = 1").check()
        before = server.get(f"sessions/{host.runtime.name}").json()
        answer = server.post(f"sessions/{host.runtime.name}/restart")
        assert (answer.status_code, answer.json()["done"]) == (200, "restarted"), answer.text
        driver.wait_message("farcell_kernel_started", 2)
        after = server.get(f"sessions/{host.runtime.name}").json()
        assert after["epoch"] == before["epoch"] + 1 and after["kernel_pid"] != before["kernel_pid"]
        assert driver.run("print('x' in dir())").check().text == "False\n"


def test_a_busy_kernel_is_restarted_only_with_yes(server: JupyterServer) -> None:
    with busy(server) as (host, driver, run, _):
        refused = server.post(f"sessions/{host.runtime.name}/restart", {})
        assert (refused.status_code, refused.json()["runs"]) == (409, [run])
        assert server.post(f"sessions/{host.runtime.name}/restart", {"yes": True}).json()["done"] == "restarted"
        driver.wait_message("farcell_kernel_died")


def test_what_a_session_holds_is_told_when_nothing_runs_there(server: JupyterServer) -> None:
    with server.host("--target", "t") as host, host.driver() as driver:
        driver.run("x, name = 42, 'twin'").check()
        told = server.get(f"sessions/{host.runtime.name}/variables").json()
        held = {each["name"]: each for each in told["variables"]}
        assert (held["x"]["type"], held["x"]["preview"]) == ("int", "42") and "name" in held
        assert server.get(f"sessions/{host.runtime.name}").json()["untaken_runs"] == []
    with busy(server) as (host, _, _, _):
        assert server.get(f"sessions/{host.runtime.name}/variables").json()["variables"] is None


def test_a_run_that_waits_is_cancelled(server: JupyterServer) -> None:
    """The one before it goes on."""
    with busy(server) as (host, driver, run, gate):
        queued = driver.start("never = 1")
        seen = server.until(lambda snapshot: snapshot["sessions"][0]["waiting_runs"] == [queued])
        assert "cancel" in seen["sessions"][0]["actions"]
        assert {each["id"]: each["state"] for each in seen["runs_in_progress"]} == {run: "running", queued: "queued"}
        assert server.post(f"sessions/{host.runtime.name}/cancel", {"run": queued}).json()["done"] == "cancelled"
        assert driver.finish(queued).reply["status"] == "aborted"
        refused = server.post(f"sessions/{host.runtime.name}/cancel", {"run": run})
        assert (refused.status_code, refused.json()["reason"]) == (409, "not-waiting")
        assert server.post(f"sessions/{host.runtime.name}/cancel", {}).status_code == 409
        gate.touch()
        driver.finish(run).check()


def test_a_session_that_hangs_is_stopped_all_the_same(server: JupyterServer) -> None:
    import os
    import signal

    with server.host("--target", "t") as host:
        os.kill(host.pid, signal.SIGSTOP)
        try:
            answer = server.post(f"sessions/{host.runtime.name}/interrupt")
            assert (answer.status_code, answer.json()["reason"]) == (503, "unreachable")
            assert server.post(f"sessions/{host.runtime.name}/stop").json()["done"] == "stopped"
        finally:
            if host.runtime.exists():
                os.kill(host.pid, signal.SIGCONT)
        assert host.wait_gone()


def test_a_dead_kernel_is_seen_and_restarted(server: JupyterServer) -> None:
    with server.host("--target", "t") as host, host.driver() as driver:
        server.watch()
        driver.start("import os; os._exit(3)")
        (session,) = server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["state"] == "dead")[
            "sessions"
        ]
        assert session["actions"] == ["stop", "restart"]
        assert server.post(f"sessions/{host.runtime.name}/restart").json()["done"] == "restarted"
        server.until(lambda snapshot: snapshot["sessions"][0]["state"] == "idle")
