"""Targets over SSH, with a real server: what goes wrong, what is not to go wrong, and connections that end."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import psutil
import pytest
from notebooks import Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd

FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "port": (
        {"ssh": "ssh -F {config} -p 1"},
        "no SSH server does. Is the port right, and is sshd running? (ssh exit code 255). It said:\n    ssh: connect to host",
    ),
    "user": ({"user": "farcell-nobody"}, "needs authentication: run %remote reconnect t"),
    "python": ({"python": "/no/such/python"}, "/no/such/python cannot be run there (exit code 127). Set python of the target"),
    "no ipykernel": (
        {"python": "/usr/bin/python3 -S", "environment": "never"},
        "has no ipykernel. There: /usr/bin/python3 -S -m pip install --upgrade ipykernel",
    ),
    "cache": ({"cache_dir": "/proc/no"}, "The folder /proc/no cannot be made: set cache_dir"),
    "setup": ({"setup": ["echo fine", "false"]}, "The setup command failed: false"),
    "secret": ({"secrets": ["FC_NO_SUCH"]}, "is to be given FC_NO_SUCH, which this notebook's environment does not have"),
    "folder": ({"cwd": "/no/such/folder"}, "/no/such/folder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_and_the_notebook_goes_on(fault: str, sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    keys, said = FAULTS[fault]
    target = over_ssh(sandbox, sshd, **keys)
    define_target(sandbox, "t", **{**target, "ssh": str(target["ssh"]).format(config=sshd.config)})
    cell = notebook.run("%%remote t\n1")
    assert cell.error is not None and said in cell.error.value
    assert notebook.run("1 + 1").check().result == "2"


def test_a_refused_login_is_not_tried_again(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """By a front end that asks nobody: accounts are locked for that."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd, user="farcell-nobody"))
    before = sshd.log.count("farcell-nobody")
    assert notebook.run("%%remote t\n1", allow_stdin=False).error is not None
    once = sshd.log.count("farcell-nobody")
    assert once > before
    assert notebook.run("%%remote t\n1", allow_stdin=False).error is not None
    assert sshd.log.count("farcell-nobody") == once


def test_an_unknown_host_key_is_not_accepted(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    known = sandbox.folder / "known_hosts"
    known.touch()
    define_target(sandbox, "t", **over_ssh(sandbox, sshd, ssh=f"ssh -F {sshd.config} -o UserKnownHostsFile={known}"))
    cell = notebook.run("%%remote t\n1")
    assert cell.error is not None and "Host key verification failed" in cell.error.value
    assert not known.read_text()


def test_ssh_asks_in_the_notebook(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """While the cell runs that needs the login, and once: what is known then is not asked again."""
    known = sandbox.folder / "known_hosts"
    asking = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=ask -o BatchMode=no"
    define_target(sandbox, "t", **over_ssh(sandbox, sshd, ssh=f"ssh -F {sshd.config} {asking}"))
    declined = notebook.run("%%remote t\n1", answers=["no"])
    assert declined.error is not None and not known.exists()
    cell = notebook.run("%%remote t\n6 * 7", answers=["yes"]).check()
    assert cell.result == "42" and known.read_text()
    assert notebook.run("%%remote t\n43").check().result == "43"


@pytest.mark.parametrize("shell", ["tcsh", "fish", "a noisy one"])
def test_the_login_shell_may_be_any(shell: str, openssh: None, shells: None, sandbox: Sandbox, notebook: Notebook) -> None:
    """Also one that says much before it does anything."""
    if os.geteuid() != 0:
        pytest.skip("optional: another account needs root: run the tests as root")
    path = shutil.which(shell)
    if shell == "a noisy one":
        path = str(sandbox.folder / "noisy")
        Path(path).write_text("#!/bin/sh\necho Welcome; echo 'Disk quota at 93 %' >&2\nexec /bin/sh \"$@\"\n")
        Path(path).chmod(0o755)
        sandbox.folder.chmod(0o755)
    with Sshd(login_shell=path) as server:
        # That account cannot read this Python; what it has can say what it lacks, which takes all that a start does.
        keys = over_ssh(sandbox, server, host=server.other, python="/usr/bin/python3 -S", environment="never")
        del keys["cache_dir"]  # its home's
        define_target(sandbox, "t", **keys)
        cell = notebook.run("%%remote t\n1")
    assert cell.error is not None and "has no ipykernel" in cell.error.value


def test_sessions_do_not_count_as_sshds(openssh: None, sandbox: Sandbox, notebook: Notebook) -> None:
    """Each has a stream of its own, over a connection that may open one session at a time."""
    with Sshd(max_sessions=1) as server:
        for number in range(3):
            define_target(sandbox, f"t{number}", **over_ssh(sandbox, server))
        for number in range(3):
            notebook.run(f"%%remote t{number}\nx{number} = {number}").check()
        assert notebook.run("x0, x1, x2").check().result == "(0, 1, 2)"
        notebook.close()


def test_where_no_socket_is_forwarded_a_session_is_the_bridge(openssh: None, sandbox: Sandbox, notebook: Notebook) -> None:
    """Bytes of all values, in both directions."""
    with Sshd(extra=["AllowStreamLocalForwarding no"]) as server:
        define_target(sandbox, "t", **over_ssh(sandbox, server))
        notebook.run("data = bytes(range(256)) * 4096").check()
        notebook.run("%%remote t\nback = data[::-1]").check()
        assert notebook.value("back == data[::-1]")
        notebook.close()


def test_a_dropped_connection_comes_back_and_no_output_is_lost(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """In the middle of a cell: each line is there, once."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    running = notebook.start(
        "%%remote t\nimport os, time\nfor n in range(300):\n    print(n)\n    time.sleep(0.02)\n    if n == 200:\n"
        f"        while not os.path.exists({str(sandbox.folder / 'gate')!r}): time.sleep(0.02)"
    )
    running.until("\n50\n")
    sshd.drop()
    running.until("\n200\n")
    sshd.drop()
    (sandbox.folder / "gate").touch()
    cell = running.finish().check()
    assert cell.stdout == "".join(f"{n}\n" for n in range(300))
    assert notebook.run("%%remote t\nn").check().result == "299"


def test_secrets_and_variables_are_in_no_argument_list(sshd: Sshd, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go by stdin; the cell has them."""
    monkeypatch.setenv("FC_TEST_TOKEN", "s3cr3t'\"$x")
    seen: set[str] = set()
    define_target(sandbox, "t", **over_ssh(sandbox, sshd, secrets=["FC_TEST_TOKEN"]))
    with Notebook(sandbox) as notebook:
        notebook.run("%load_ext farcell").check()
        over = threading.Event()
        watching = threading.Thread(target=_see_commands, args=(seen, over))
        watching.start()
        cell = notebook.run("%%remote t\nimport os; os.environ['FC_TEST_TOKEN']")
        over.set()
        watching.join()
        assert cell.check().result == repr("s3cr3t'\"$x")
    assert any("ssh -F" in line for line in seen) and not any("s3cr3t" in line for line in seen)


def test_one_connection_for_notebooks_that_start_together(sshd: Sshd, sandbox: Sandbox) -> None:
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    with Notebook(sandbox) as first, Notebook(sandbox) as second:
        for notebook in (first, second):
            notebook.run("%load_ext farcell").check()
        cells = [notebook.start("%%remote t\nimport os; os.environ['SSH_CONNECTION']") for notebook in (first, second)]
        connections = {cell.finish().check().result for cell in cells}
    assert len(connections) == 1


def _see_commands(seen: set[str], over: threading.Event) -> None:
    while not over.is_set():
        seen |= {" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])}
