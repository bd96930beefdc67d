"""A machine that wants a password and then a code: asked in the notebook, once, and only where somebody can be asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from notebooks import Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.asking import Server, serving
from services.sshd import Sshd

PASSWORD, CODE = "open sesame", "123456"


@pytest.fixture
def server(openssh: None, sandbox: Sandbox, notebook: Notebook) -> Iterator[Server]:
    """Behind the target `t`. Its notebook ends before it does."""
    with serving(Server(password=PASSWORD, code=CODE)) as server:
        known = sandbox.folder / "known_hosts"
        config = sandbox.folder / "ssh_config"
        config.write_text(
            f"Host gpu-a\n  HostName 127.0.0.1\n  Port {server.port}\n  User ada\n  UserKnownHostsFile {known}\n"
            "  GlobalKnownHostsFile none\n  StrictHostKeyChecking accept-new\n  IdentityFile none\n  IdentityAgent none\n"
            "  PreferredAuthentications keyboard-interactive\n  GSSAPIAuthentication no\n  LogLevel ERROR\n"
        )
        keys = over_ssh(sandbox, Sshd(), host="gpu-a", ssh=f"ssh -F {config}", ssh_persist_s=30.0)
        define_target(sandbox, "t", **keys)
        yield server
        notebook.close()
        _end_master(sandbox)


def _end_master(sandbox: Sandbox) -> None:
    for process in sandbox.processes():
        if process.name() == "ssh":
            process.terminate()


def test_both_are_asked_in_the_cell_and_once(server: Server, notebook: Notebook) -> None:
    """The password is hidden, the code is not; a second cell, and one that nobody can be asked in, ask nothing."""
    running = notebook.start("%%remote t\nimport os\nprint(os.getpid() != 0)", answers=[PASSWORD, CODE])
    cell = running.finish().check()
    assert cell.stdout == "True\n"
    assert [(each["prompt"], each["password"]) for each in running.prompts] == [
        ("(ada@127.0.0.1) Password: ", True),
        ("(ada@127.0.0.1) Verification code: ", False),
    ]
    assert server.told == [PASSWORD, CODE]
    assert PASSWORD not in str(cell.messages)
    again = notebook.start("%%remote t\nx = 1")
    again.finish().check()
    notebook.run("%remote stop t").check()
    assert notebook.run("%%remote t\n6 * 7", allow_stdin=False).check().result == "42"
    assert again.prompts == [] and server.told == [PASSWORD, CODE] and server.logins == 1


def test_a_refused_login_is_not_tried_again_by_itself(server: Server, notebook: Notebook) -> None:
    """Accounts are locked for that. Whoever asks for it may try again."""
    refused = notebook.start("%%remote t\n1", answers=[PASSWORD, "000000"] * 3)
    error = refused.finish().error
    assert error is not None and "needs authentication: run %remote reconnect t" in error.value
    assert server.told == [PASSWORD, "000000"] * 3
    for _ in range(2):
        error = notebook.run("%%remote t\n1", allow_stdin=False).error
        assert error is not None and "needs authentication: run %remote reconnect t" in error.value
    assert server.logins == 1 and len(server.told) == 6
    assert notebook.run("%%remote t\n6 * 7", answers=[PASSWORD, CODE]).check().result == "42"


def test_where_nobody_can_be_asked_it_is_said(server: Server, notebook: Notebook) -> None:
    """As in nbclient: nothing is tried with nothing; after a login by hand the same cell works."""
    error = notebook.run("%%remote t\n1", allow_stdin=False).error
    assert error is not None and "needs authentication: run %remote reconnect t" in error.value
    assert server.told == []
    declined = notebook.run("%remote reconnect t", allow_stdin=False).error
    assert declined is not None and "needs authentication" in declined.value
    notebook.run("%remote reconnect t", answers=[PASSWORD, CODE]).check()
    assert notebook.run("%%remote t\n6 * 7", allow_stdin=False).check().result == "42"
    assert server.told == [PASSWORD, CODE]
