"""The kernel host with a real remote kernel: runs, cuts, deaths, roles, time-outs."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat

import pytest
from hostclient import command, is_alive, launched, wait_until
from sandbox import Sandbox

pytestmark = pytest.mark.timeout(120)


def test_a_host_that_nobody_comes_to_ends(sandbox: Sandbox) -> None:
    """Whoever started it has died before it said a word; one that somebody has come to waits for `keep`."""
    with launched(sandbox.runtime, "--first-driver", "0.5") as host:
        assert host.wait_gone() and not is_alive(host.info["kernel_pid"])
    with launched(sandbox.runtime, "--first-driver", "0.5") as host:
        with host.driver() as driver:
            driver.run("1").check()
        assert not host.wait_gone(1.5)


def test_an_observer_reads_the_ends_of_the_logs(sandbox: Sandbox) -> None:
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("import os\nfor n in range(99): os.write(2, b'line %d\\n' % n)").check()
        kernel, own = driver.ask("log", lines=2).fields["files"]
        assert (kernel["path"], kernel["text"]) == (str(host.runtime / "kernel.log"), "line 97\nline 98")
        assert own["path"] == str(host.runtime / "host.log")


def test_a_cell_runs_and_its_output_arrives(sandbox: Sandbox) -> None:
    """A first cell over the direct socket: output in order, then the reply; nothing twice."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        done = driver.run("for i in range(100): print(i)").check()
        assert done.text == "".join(f"{i}\n" for i in range(100))
        started = driver.wait_message("farcell_kernel_started").content
        assert started["direct"] and started["pid"] == host.info["kernel_pid"] and started["epoch"] == 1
        assert driver.sequences == list(range(1, len(driver.sequences) + 1))
        assert not any(m.msg_type == "status" for m in done.messages)


def test_launch_lets_go_of_its_caller(sandbox: Sandbox) -> None:
    """Whoever reads launch's output to its end is not held up by the host, and nothing of it is readable by others."""
    with launched(sandbox.runtime) as host:
        assert os.getsid(host.pid) not in (os.getsid(0), os.getsid(host.info["kernel_pid"]))
        assert stat.S_IMODE(host.runtime.stat().st_mode) == 0o700
        for name in ("host.json", "kernel.json", "kernel.log", "host.log"):
            assert stat.S_IMODE((host.runtime / name).stat().st_mode) & 0o077 == 0, name
        again = json.loads(command("launch", "--runtime", str(host.runtime)).stdout)
        assert again["pid"] == host.pid and again["already"]


@pytest.mark.parametrize("without", ["descriptors", "memfd,pidfd,peercred,proc,epoll"])
def test_the_portable_ways(sandbox: Sandbox, without: str) -> None:
    """Without what Linux alone has, a session works all the same: runs, interrupt, death, stop."""
    env = {**os.environ, "FARCELL_WITHOUT": without}
    with launched(sandbox.runtime, env=env) as host, host.driver(descriptors="descriptors" not in without) as driver:
        assert driver.run("print('hello')").check().text == "hello\n"
        assert driver.ask("status").fields["direct"] == (without != "descriptors")
        run = driver.start("import time\nprint('begun', flush=True)\ntime.sleep(30)")
        driver.wait(lambda: any("begun" in m.content["text"] for m in driver.messages if m.msg_type == "stream"))
        assert driver.ask("interrupt", run=run).fields["done"] == "interrupted"
        assert driver.finish(run).reply["ename"] == "KeyboardInterrupt"
        driver.start("import os; os._exit(3)")
        assert driver.wait_message("farcell_kernel_died").content["exit_code"] == 3


def test_zmq_path(sandbox: Sandbox) -> None:
    """Over zmq the same cell runs, idle status included, for kernels without the direct socket."""
    with launched(sandbox.runtime, "--zmq") as host, host.driver() as driver:
        done = driver.run("print(6 * 7)").check()
        assert done.text == "42\n"
        assert not driver.wait_message("farcell_kernel_started").content["direct"]
        run = driver.start("print(input('name? '))")
        asked = driver.wait_message("input_request")
        from farcell_host.protocol.messages import Channel, Message

        driver.send(Message.build(Channel.STDIN, "input_reply", {"value": "Ada"}, parent=asked.header))
        assert driver.finish(run).check().text == "Ada\n"


@pytest.mark.parametrize("attach", [False, True])
def test_output_survives_cuts_complete_and_once(sandbox: Sandbox, attach: bool) -> None:
    """The stream breaks again and again while a cell prints: every line arrives, once, in order."""
    with launched(sandbox.runtime) as host, host.driver(attach=attach) as driver:
        run = driver.start("import time\nfor i in range(200):\n    print(i, flush=True)\n    time.sleep(0.005)")
        for count in (3, 6, 9, 12):
            driver.wait(lambda count=count: len(driver.messages) >= count)
            driver.cut()
            driver.connect()
        done = driver.finish(run).check()
        assert done.text == "".join(f"{i}\n" for i in range(200))
        assert driver.sequences == list(range(1, len(driver.sequences) + 1))


def test_a_run_sent_while_cut_off_runs_once(sandbox: Sandbox) -> None:
    """A run handed over during a cut is sent after the reconnect, and not run again after the next one."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("n = 0").check()
        driver.cut()
        run = driver.start("globals()['n'] = globals().get('n', 0) + 1; print('n', n)")
        driver.connect()
        assert driver.finish(run).check().text.endswith("n 1\n")
        driver.cut()
        driver.connect()
        driver.wait(lambda: not driver.client.unacknowledged)


def test_a_restart_whose_answer_was_lost_happens_once(sandbox: Sandbox) -> None:
    """The request is asked again after the cut and answered as before: a second restart would end a kernel in use."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.wait(lambda: any(message.msg_type == "farcell_kernel_started" for message in driver.messages))
        number = driver.client.request("restart")
        driver.stream.wake()  # written, but the answer is never read
        with host.driver(role="observer") as observer:
            observer.wait(lambda: [m.msg_type for m in observer.messages].count("farcell_kernel_started") == 2)
        driver.cut()
        driver.connect()
        driver.wait(lambda: number in driver.answers)
        assert driver.answers[number].fields["epoch"] == 2
        assert driver.ask("status").fields["epoch"] == 2


@pytest.mark.parametrize(
    ("code", "exit_code", "died_of"),
    [("import os; os.write(2, b'last words\\n'); os._exit(3)", 3, None), ("import os; os.kill(os.getpid(), 9)", None, "SIGKILL")],
)
def test_a_kernel_that_dies_says_how(sandbox: Sandbox, code: str, exit_code: int | None, died_of: str | None) -> None:
    """Exit code or signal, the run it ended, the log's last lines; the next run is refused with the way on; restart works."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("print('up')").check()
        run = driver.start("print('before', flush=True)\n" + code)
        died = driver.wait_message("farcell_kernel_died").content
        assert (died["exit_code"], died["signal"], died["run"], died["epoch"]) == (exit_code, died_of, run, 1)
        refused = driver.run("print('after')").reply
        assert refused["status"] == "refused" and "%remote restart" in refused["message"]
        assert driver.ask("restart").fields["epoch"] == 2
        assert driver.run("print('again')").check().text == "again\n"


def test_a_kernel_that_cannot_start_says_why(sandbox: Sandbox) -> None:
    """A Python without ipykernel: the log's tail reaches the client, the host stays to tell it."""
    with launched(sandbox.runtime, env={**os.environ, "PYTHONPATH": str(sandbox.folder / "bad")}) as host:
        pass
    bad = sandbox.folder / "bad" / "ipykernel"
    bad.mkdir(parents=True)
    (bad / "__init__.py").write_text("raise ImportError('no ipykernel today')")
    env = {**os.environ, "PYTHONPATH": str(bad.parent)}
    with launched(sandbox.runtime, env=env) as host, host.driver() as driver:
        died = driver.wait_message("farcell_kernel_died").content
        assert died["exit_code"] == 1 and any("no ipykernel today" in line for line in died["log_tail"])


def test_the_kernel_ends_with_a_killed_host(sandbox: Sandbox) -> None:
    """SIGKILL to the host: its kernel does not stay behind, and stop cleans up."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("print('up')").check()
        os.kill(host.pid, signal.SIGKILL)
        assert wait_until(lambda: not is_alive(host.info["kernel_pid"]), 10)
        assert command("status", "--runtime", str(host.runtime)).returncode == 1
        assert command("stop", "--runtime", str(host.runtime)).returncode == 0
        assert not host.runtime.exists()


def test_interrupt_names_its_run(sandbox: Sandbox) -> None:
    """The running one is interrupted, a waiting one cancelled, one that is over left alone."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        first = driver.start("import time\nprint('begun', flush=True)\ntime.sleep(30)")
        second = driver.start("print('never')")
        driver.wait_message("stream")
        assert driver.ask("status").fields["waiting_runs"] == [second]
        assert driver.ask("interrupt", run=second).fields["done"] == "cancelled"
        assert driver.finish(second).reply["status"] == "aborted"
        assert driver.ask("interrupt", run=first).fields["done"] == "interrupted"
        assert driver.finish(first).reply["ename"] == "KeyboardInterrupt"
        assert driver.ask("interrupt", run=first).fields["done"] == "nothing"
        assert driver.run("print('alive')").check().text == "alive\n"


def test_one_driver_any_number_of_observers(sandbox: Sandbox) -> None:
    """A second driver is refused until it takes over; then the first one is told. Observers read everything and send nothing."""
    with launched(sandbox.runtime) as host, host.driver() as first:
        first.run("print('one')").check()
        with host.driver() as refused:
            assert refused.refused is not None and refused.refused.code == "busy"
        with host.driver(role="observer") as observer:
            observer.wait_message("farcell_run_reply")
            assert not observer.ask("kill").ok and observer.ask("status").ok
        with host.driver(takeover=True) as second:
            first.wait(lambda: first.refused is not None)
            assert first.refused is not None and first.refused.code == "superseded"
            assert second.welcome["generation"] == 2
            assert second.run("print('two')").check().text == "two\n"


def test_a_watcher_is_told_when_something_has_changed(sandbox: Sandbox) -> None:
    """A run begins, another waits, both end, the driver leaves: each is told as it happens, and nothing else is sent."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("print('before')").check()
        assert wait_until(lambda: driver.ask("status").fields["untaken_runs"] == [])
        with host.driver(role="observer", messages=False) as watcher:
            face = watcher.ask("watch", within_s=10).fields["face"]
            assert face == {
                "state": "idle", "epoch": 1, "run": None, "run_started": None, "waiting_runs": [], "untaken_runs": [],
                "cells": {}, "requests": {}, "sent_bytes": 0, "arriving": {}, "moved": face["moved"], "is_driven": True,
                "has_wall_time": False,
            }  # fmt: skip
            [before] = face["moved"]
            assert before["cell"] is None and before["sent_bytes"] > 0 and before["received_bytes"] > 0
            asked = watcher.begin("watch", seen=face, within_s=60)
            watcher.ask("status")
            assert asked not in watcher.answers
            first = driver.start("input()")
            driver.wait_message("input_request")
            face = watcher.answer(asked).fields["face"]
            asked = watcher.begin("watch", seen=face, within_s=60)
            if face["run"] is None:  # it was still on its way to the kernel
                face = watcher.answer(asked).fields["face"]
                asked = watcher.begin("watch", seen=face, within_s=60)
            assert (face["state"], face["run"]) == ("busy", first)
            second = driver.start("1")
            driver.ask("status")
            assert watcher.answer(asked).fields["face"]["waiting_runs"] == [second]
            driver.ask("interrupt", run=second)
            driver.ask("interrupt", run=first)
            driver.finish(first)
            assert wait_until(lambda: driver.ask("status").fields["untaken_runs"] == [])
            assert watcher.ask("watch", within_s=10).fields["face"]["state"] == "idle"
            driven = watcher.ask("watch", within_s=10).fields["face"]
            asked = watcher.begin("watch", seen=driven, within_s=60)
            driver.cut()
            assert not watcher.answer(asked).fields["face"]["is_driven"]
            assert not watcher.messages


def test_a_watcher_whose_time_is_up_is_answered_all_the_same(sandbox: Sandbox) -> None:
    with launched(sandbox.runtime) as host, host.driver(role="observer", messages=False) as watcher:
        assert wait_until(lambda: watcher.ask("status").fields["state"] == "idle")
        face = watcher.ask("watch", within_s=0).fields["face"]
        assert watcher.ask("watch", seen=face, within_s=0.2).fields["face"] == face


def test_a_host_tells_when_and_why_it_ends_by_itself(sandbox: Sandbox) -> None:
    """Never while a run goes on; without a notebook the shorter of two times counts."""
    with launched(sandbox.runtime, "--idle-timeout", "800", "--keep", "90") as host, host.driver(role="observer") as observer:
        alone = observer.ask("status").fields["ending"]
        assert alone["why"] == "unattended" and 0 < alone["in_s"] <= 90 and alone["lead_s"] == 22.5
        with host.driver() as driver:
            driver.run("1").check()
            driven = observer.ask("status").fields["ending"]
            assert driven["why"] == "idle" and 700 < driven["in_s"] <= 800 and driven["lead_s"] == 200
            run = driver.start("input()")
            driver.wait_message("input_request")
            assert observer.ask("status").fields["ending"] is None
            driver.ask("interrupt", run=run)
            driver.finish(run)
            assert observer.ask("status").fields["ending"]["why"] == "idle"


def test_an_observer_asks_what_the_kernel_holds(sandbox: Sandbox) -> None:
    """It is no activity, and no message of the session's. While a cell runs it is not waited for."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("held = [1, 2, 3]").check()
        before = len(driver.messages)
        with host.driver(role="observer", messages=False) as observer:
            [held] = observer.ask("vars").fields["vars"]
            assert (held["name"], held["type"], held["repr"]) == ("held", "list", "[1, 2, 3]")
            run = driver.start("input()")
            driver.wait_message("input_request")
            assert observer.ask("vars").fields == {"vars": None}
            driver.ask("interrupt", run=run)
            driver.finish(run)
        assert "farcell_vars_reply" not in {message.msg_type for message in driver.messages[before:]}


def test_an_observer_restarts_the_kernel_that_it_names_and_no_other(sandbox: Sandbox) -> None:
    """The driver is told; asked again, as after a lost answer, nothing more happens."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.run("kept = 1").check()
        with host.driver(role="observer") as observer:
            assert not observer.ask("restart").ok
            for _ in range(2):
                assert observer.ask("restart", epoch=1).fields["epoch"] == 2
        assert driver.wait_message("farcell_kernel_started", 2).content["epoch"] == 2
        assert "another of your programs has asked" in driver.wait_message("farcell_notice").content["text"]
        assert driver.run("print('kept' in globals())").check().text == "False\n"


def test_garbage_ends_one_connection_only(sandbox: Sandbox) -> None:
    """Something that is no farcell client is told so and dropped; the session goes on."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect(str(host.runtime / "socket"))
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"not a farcell stream" in stranger.recv(4096)
            assert stranger.recv(4096) == b""
        assert driver.run("print('fine')").check().text == "fine\n"


def test_stop_is_answered_before_the_end(sandbox: Sandbox) -> None:
    """stop answers, then host, kernel and folder are gone; asked not to while a run goes on, it refuses."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        run = driver.start("import time\nprint('begun', flush=True)\ntime.sleep(30)")
        driver.wait_message("stream")
        assert not driver.ask("stop", unless_running=True).ok
        driver.ask("interrupt", run=run)
        driver.finish(run)
        assert driver.ask("stop", unless_running=True).ok
        assert host.wait_gone() and not is_alive(host.info["kernel_pid"])


def test_a_lost_notebook_is_waited_for(sandbox: Sandbox) -> None:
    """Without a driver the host waits for `keep`, but a run goes on to its end first."""
    with launched(sandbox.runtime, "--keep", "1") as host:
        with host.driver() as driver:
            driver.start("import time; time.sleep(2.5); print('done')")
            driver.wait_message("farcell_kernel_started")
        assert not wait_until(lambda: not is_alive(host.pid), 2)
        assert host.wait_gone()


def test_an_idle_session_ends(sandbox: Sandbox) -> None:
    """Nothing happens for the idle time-out: the session ends though its notebook is connected, observers are no activity."""
    with launched(sandbox.runtime, "--idle-timeout", "1.5") as host, host.driver() as driver:
        driver.run("print('last')").check()
        with host.driver(role="observer") as observer:
            observer.ask("status")
            driver.wait(lambda: driver.lost, 60)
        assert host.wait_gone()


def test_an_idle_session_warns_before_it_ends(sandbox: Sandbox) -> None:
    """What its kernel says by itself is no activity; a new cell is, and the next spell is warned of again."""
    with launched(sandbox.runtime, "--idle-timeout", "8", "--target", "box") as host, host.driver() as driver:
        chatter = "import threading, time\ndef chat():\n    while True: print('.', flush=True); time.sleep(0.2)"
        driver.run(f"{chatter}\nthreading.Thread(target=chat, daemon=True).start()").check()
        warning = driver.wait_message("farcell_notice").content
        assert warning["text"].startswith("Nothing was run on 'box' for 6 s: its session ends in 2 s.")
        driver.run("kept = 1").check()
        driver.wait(lambda: any("ends" in m.content for m in driver.messages if m.msg_type == "farcell_notice"), 60)
        again, closing, ended = [m.content for m in driver.messages if m.msg_type == "farcell_notice"][1:]
        assert closing["text"] == "" and closing["closing"] == ended["ends"]
        assert again["text"] == warning["text"]
        assert ended["ends"] == "nothing was run for 8 s" and "kept" in ended["saved"]
        assert host.wait_gone()


def test_a_removed_folder_ends_the_session(sandbox: Sandbox) -> None:
    """Who deletes the runtime folder leaves no host behind that nobody can reach."""
    with launched(sandbox.runtime, "--keep", "4") as host:
        (host.runtime / "host.json").unlink()
        assert host.wait_gone()


def test_status_lists_live_hosts(sandbox: Sandbox) -> None:
    """One JSON line a host, from the hosts themselves; dead ones are not listed."""
    with launched(sandbox.runtime, "--notebook", "a b.ipynb") as host, launched(sandbox.runtime) as other:
        lines = [json.loads(line) for line in command("status").stdout.splitlines()]
        assert {line["pid"] for line in lines} == {host.pid, other.pid}
        assert [line["notebook"] for line in lines if line["pid"] == host.pid] == ["a b.ipynb"]
        assert all(line["state"] in ("starting", "idle") for line in lines)
    assert command("status").stdout == ""


def test_a_flood_waits_for_its_reader_on_disk(sandbox: Sandbox) -> None:
    """Old output over the quota is dropped with a message in its place; reply and newest lines arrive, memory stays low."""
    with launched(sandbox.runtime, "--journal-mib", "2") as host, host.driver() as driver:
        run = driver.start("for i in range(300_000): print(i, 'x' * 40)")
        driver.wait_message("farcell_kernel_started")
        driver.cut()
        with host.driver(role="observer", cursor=1 << 60) as watcher:
            assert wait_until(lambda: watcher.ask("status").fields["state"] == "idle", 60)
            status = watcher.ask("status").fields
        assert status["journal_bytes"] < 4 << 20
        assert status["memory_bytes"] < 100 << 20
        driver.connect()
        done = driver.finish(run)
        assert done.text.endswith("299999 " + "x" * 40 + "\n")
        notice = driver.wait_message("farcell_output_dropped")
        assert notice.content["bytes"] > 1 << 20 and driver.gaps
        assert f"{notice.content['messages']:,} messages of output" in done.text


def test_the_journal_goes_on_when_its_disk_is_full(sandbox: Sandbox) -> None:
    """No space for the journal: output still arrives, kept in memory."""
    with launched(sandbox.runtime, preexec_fn=_small_files) as host, host.driver() as driver:
        driver.acknowledges = False
        done = driver.run("for i in range(60_000): print(i, 'y' * 40)")
        assert done.check().text.count("\n") == 60_000


def _small_files() -> None:
    """A limit on file sizes stands in for a full disk: writes past 1 MiB fail."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
