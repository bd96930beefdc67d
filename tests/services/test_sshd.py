"""The SSH server of the tests does what its class says."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.fixtures import end
from services.service import ServiceError, lives, sweep, until
from services.sshd import Sshd

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="optional: other accounts need root: run the tests as root")


def test_both_accounts_log_in(sshd: Sshd) -> None:
    """A command runs as whom the alias names, in a home of that account's own."""
    for alias in (sshd.root, sshd.user):
        account = sshd.account(alias)
        done = sshd.run(alias, "id -un; cd; pwd -P")
        assert done.stdout.split() == [account.pw_name, os.path.realpath(account.pw_dir)], done.stderr


@as_root
def test_the_ordinary_account_is_ordinary(sshd: Sshd) -> None:
    """It can neither read root's files nor see the client's key."""
    assert sshd.run(sshd.user, "id -u").stdout != "0\n"
    assert sshd.run(sshd.user, f"cat {sshd.folder}/client_key").returncode == 1


def test_a_shared_connection_carries_further_sessions(sshd: Sshd) -> None:
    """The alias with -mux opens one connection, which later commands use."""
    server = psutil.Process(int((sshd.folder / "sshd.pid").read_text()))
    alias = f"{sshd.user}-mux"
    try:
        assert sshd.run(alias, "true").returncode == 0
        connections = server.children()
        assert sshd.run(alias, "true").returncode == 0
        assert server.children() == connections != []
    finally:
        sshd.run(alias, "", "-O", "exit")


def test_drop_ends_sessions_and_the_server_goes_on(sshd: Sshd) -> None:
    """The client of a dropped session ends with 255; what it ran lives on as an orphan; the next login works."""
    with Session(sshd) as (client, command):
        sshd.drop()
        assert client.wait(10) == 255
        assert command.cmdline() == ["sleep", "300"]
        command.kill()
    assert sshd.run(sshd.user, "echo here").stdout == "here\n"


def test_a_frozen_server_answers_nobody(sshd: Sshd) -> None:
    """A connect times out in the banner exchange; an open session stands still, and goes on after the thaw."""
    with Session(sshd, "cat") as (client, _):
        assert client.stdin is not None and client.stdout is not None
        sshd.freeze()
        try:
            began = time.monotonic()
            done = sshd.run(sshd.user, "true", "-o", "ConnectTimeout=1")
            assert (done.returncode, "timed out" in done.stderr) == (255, True)
            assert 0.9 < time.monotonic() - began < 8
            assert client.poll() is None
        finally:
            sshd.thaw()
        client.stdin.write("still here\n")
        client.stdin.flush()
        assert client.stdout.readline() == "still here\n"
    assert sshd.run(sshd.user, "true").returncode == 0


def test_a_stopped_server_comes_back_as_the_same(sshd: Sshd) -> None:
    """While it is stopped a connect is refused; then port and host key are those that clients know."""
    port = sshd.port
    with Session(sshd) as (client, command):
        sshd.stop()
        assert client.wait(10) == 255
        assert not lives(command)
    try:
        assert "refused" in sshd.run(sshd.user, "true").stderr
        assert sshd.processes() == []
    finally:
        sshd.start()
    assert sshd.port == port
    assert sshd.run(sshd.user, "true").returncode == 0


def test_sessions_beyond_the_limit_are_refused(openssh: None) -> None:
    """With MaxSessions 2 a shared connection carries two sessions, not a third; the log says why."""
    with Sshd(max_sessions=2) as server:
        alias = f"{server.user}-mux"
        no_other_way = ("-o", "ProxyCommand=false")  # ssh would open a connection of its own
        try:
            with Session(server, alias=alias), Session(server, alias=alias):
                done = server.run(alias, "echo third", *no_other_way)
                assert (done.returncode, done.stdout) == (255, "")
                assert "refused by peer" in done.stderr
            until(lambda: server.run(alias, "true", *no_other_way).returncode == 0, 10, "a session is free again")
        finally:
            server.run(alias, "", "-O", "exit")


@as_root
def test_an_account_has_the_login_shell_it_was_given(openssh: None) -> None:
    """Its commands go through that shell: one that only prints what it was asked to run."""
    with Sshd(login_shell="/bin/echo") as server:
        assert server.run(server.other, "some words").stdout == "-c some words\n"


def test_sessions_have_the_environment_they_were_given(openssh: None) -> None:
    """Options are seen in the sessions, further lines in the server: here a banner that ssh prints before the login."""
    with Sshd(environment={"SOME": "thing", "OTHER": "one"}, extra=["Banner /etc/hostname"]) as server:
        done = server.run(server.user, "echo $SOME $OTHER", "-o", "LogLevel=INFO")
        assert done.stdout == "thing one\n"
        with open("/etc/hostname") as banner:
            assert banner.read().strip() in done.stderr


def test_a_bad_line_of_configuration_is_told(openssh: None) -> None:
    """The server's words are in the error, and nothing is left."""
    server = Sshd(extra=["NoSuchOption yes"])
    with pytest.raises(ServiceError, match="NoSuchOption"), server:
        pass
    assert not server.folder.exists()


def test_nothing_outlives_the_server(openssh: None) -> None:
    """Its processes, an open session's and a shared connection's client are gone by pid; so are its accounts and its folder."""
    with Sshd() as server, Session(server) as (client, command):
        assert server.run(f"{server.user}-mux", "true").returncode == 0
        masters = [process for process in psutil.process_iter() if str(server.folder / "control") in _words(process)]
        own = server.processes()
        account = server.account(server.user).pw_name
        assert {command.pid, int((server.folder / "sshd.pid").read_text())} <= {process.pid for process in own}
        assert masters
        server.close()
        assert client.wait(10) == 255
    psutil.wait_procs(masters, timeout=5)
    assert [process for process in [*own, *masters] if lives(process)] == []
    assert not server.folder.exists()
    if os.geteuid() == 0:
        with pytest.raises(KeyError):
            pwd.getpwnam(account)


def test_what_a_session_daemonised_is_found_and_ended(openssh: None) -> None:
    """The fixture fails with its name: so is told who leaves a kernel host behind."""
    with Sshd() as server:
        pid = int(server.run(server.user, "setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!").stdout)
        process = psutil.Process(pid)
        assert process in server.processes()
        with pytest.raises(pytest.fail.Exception, match=f"left behind in Sshd:\n  process {pid}: sleep 300"):
            end(server, grace_s=0.2)
        assert not lives(process)


def test_what_a_killed_test_run_left_is_swept(openssh: None) -> None:
    """Its server and account are ended by the next run, those of a living one are not."""
    start = (
        "import os, sys; from services.sshd import Sshd; s = Sshd(); s.start(); print(s.folder); sys.stdout.flush(); os._exit(1)"
    )
    words = [sys.executable, "-c", start]
    tests = Path(__file__).parents[1]
    with Sshd() as living:
        folder = Path(subprocess.run(words, cwd=tests, stdout=subprocess.PIPE, text=True, timeout=60, check=False).stdout.strip())
        left = psutil.Process(int((folder / "sshd.pid").read_text()))
        sweep()
        assert not lives(left)
        assert not folder.exists()
        assert living.run(living.user, "true").returncode == 0


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Session:
    """A session that runs a command until its end: the client, and the command there."""

    def __init__(self, server: Sshd, command: str = "sleep 300", alias: str = Sshd.user) -> None:
        self._words = server.command(alias, f"echo $$; exec {command}")

    def __enter__(self) -> tuple[subprocess.Popen[str], psutil.Process]:
        self._client = subprocess.Popen(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._client.stdout is not None
        self._command = psutil.Process(int(self._client.stdout.readline()))
        return self._client, self._command

    def __exit__(self, *_: object) -> None:
        if lives(self._command):
            self._command.kill()
        self._client.communicate(timeout=10)
