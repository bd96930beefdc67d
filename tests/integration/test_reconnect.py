"""Connections to other machines that end, and come back by themselves: nothing is lost, nothing comes twice, and it shows."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from notebooks import Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd

COUNT = "%%remote t\nimport time\nfor n in range({count}):\n    print(n, flush=True)\n    time.sleep(0.1)"
SEEN_S = 10.0


def numbers(text: str) -> list[int]:
    return [int(line) for line in text.split() if line.isdigit()]


@pytest.fixture
def own_sshd(openssh: None, sandbox: Sandbox, notebook: Notebook) -> Sshd:
    """A server that the test may break, and a session through it."""
    server = Sshd()
    server.start()
    define_target(sandbox, "t", **over_ssh(sandbox, server))
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote t\n1").check()
    return server


def test_a_link_that_is_silent_shows_in_the_cell_and_comes_back(own_sshd: Sshd, notebook: Notebook) -> None:
    """Both ends are open still, and nobody answers: found by signs of life that do not come."""
    with own_sshd:
        running = notebook.start(COUNT.format(count=300))
        running.until("5\n")
        own_sshd.freeze()
        try:
            frozen = time.monotonic()
            running.until(lambda cell: any("reconnecting to 't', " in line for line in cell.lines), 60)
            seen_s = time.monotonic() - frozen
            assert "the run goes on" in running.lines[-1]
        finally:
            own_sshd.thaw()
        cell = running.finish(90).check()
        assert numbers(cell.stdout) == list(range(300))
        assert not [output for output in cell.outputs if "reconnecting" in str(output)]
        assert seen_s < SEEN_S + 5, f"it showed after {seen_s:.1f} s"
        notebook.run("%remote stop t").check()


def test_the_shared_connection_may_die(own_sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    with own_sshd:
        running = notebook.start(COUNT.format(count=60))
        running.until("5\n")
        masters = [process for process in sandbox.processes() if process.name() == "ssh" and "-M" in process.cmdline()]
        assert masters
        for process in masters:
            process.kill()
        assert numbers(running.finish(60).check().stdout) == list(range(60))
        notebook.run("%remote stop t").check()


def test_a_notebook_that_slept_has_missed_nothing(own_sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """Its whole side is stopped, longer than any keepalive lasts; the run goes on meanwhile."""
    with own_sshd:
        running = notebook.start(COUNT.format(count=200))
        running.until("5\n")
        side = [psutil.Process(notebook.pid), *(each for each in sandbox.processes() if each.name() == "ssh")]
        for process in side:
            os.kill(process.pid, signal.SIGSTOP)
        time.sleep(12)  # what is slept through is time itself
        for process in side:
            os.kill(process.pid, signal.SIGCONT)
        assert numbers(running.finish(60).check().stdout) == list(range(200))
        notebook.run("%remote stop t").check()


def test_reconnecting_by_hand_tries_at_once(own_sshd: Sshd, notebook: Notebook) -> None:
    with own_sshd:
        notebook.run("%%remote t\nx = 1").check()
        own_sshd.drop()
        assert "idle" in str(notebook.run("%remote reconnect t").check().outputs)
        assert notebook.run("%%remote t\nx + 1").check().result == "2"
        notebook.run("%remote stop t").check()
