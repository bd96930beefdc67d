"""`farcell doctor` on real machines, with what can be wrong there really wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from commandline import farcell, said
from places import define_target, over_slurm, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd

AFTER_LOGIN = ("login shell", "Python", "session folders", "cache folder", "GPUs", "clock")


def checks(box: Sandbox, target: str, code: int = 0) -> dict[str, Any]:
    """What the doctor says, by the name of the check."""
    return {check["name"]: check for check in said(box, "doctor", target, code=code)["checks"]}


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {name: check["verdict"] for name, check in found.items()}


def test_a_good_target_is_good(sshd: Sshd, sandbox: Sandbox) -> None:
    """And nothing is left there but the kernel host."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    found = checks(sandbox, "t")
    assert "wrong" not in verdicts(found).values() and "not checked" not in verdicts(found).values()
    assert list(found)[:7] == [
        "configuration", "this machine", "ssh configuration", "network", "host key", "login", "login shell",
    ]  # fmt: skip
    assert found["kernel's packages"]["verdict"] == "ok"
    assert [path.suffix for path in (sandbox.folder / "far" / "cache").iterdir()] == [".pyz"]


def test_this_machine_is_looked_at_too(sandbox: Sandbox) -> None:
    found = checks(sandbox, "local")
    assert "wrong" not in verdicts(found).values() and str(sandbox.cache) in found["cache folder"]["found"]
    shown = farcell(sandbox, "doctor", "local")
    assert shown.returncode == 0 and "session folders" in shown.stdout


WAYS: dict[str, tuple[dict[str, object], str, str]] = {
    "host": ({"host": "no-such-host.invalid"}, "network", "no machine is known by the name no-such-host.invalid"),
    "port": ({"ssh": "ssh -F {config} -p 1"}, "network", "127.0.0.1:1 refuses connections"),
    "server": ({"ssh": "ssh -F {config} -p {web}"}, "network", "answers with 'HTTP/1.1 400 Bad Request', which is no SSH server"),
    "configuration": ({"ssh": "ssh -F /no/such/file"}, "ssh configuration", "/no/such/file"),
    "user": ({"user": "farcell-nobody"}, "login", "refused; it takes: publickey"),
    "key": ({"ssh": "ssh -F {keyless}"}, "login", "refused; it takes: publickey"),
    "host key": ({"ssh": "ssh -F {config} -o UserKnownHostsFile={other}"}, "host key", "it is not the one that is known"),
    "new host": ({"ssh": "ssh -F {config} -o UserKnownHostsFile=/dev/null"}, "host key", "it is not known yet"),
}


@pytest.mark.parametrize("fault", WAYS)
def test_what_is_wrong_on_the_way_is_named(fault: str, sshd: Sshd, sandbox: Sandbox) -> None:
    """One check is wrong; those that need it are not made, and say so."""
    keys, name, text = WAYS[fault]
    key, other, keyless = (sandbox.folder / name for name in ("key", "other", "keyless"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    other.write_text(f"[127.0.0.1]:{sshd.port} " + " ".join(Path(f"{key}.pub").read_text().split()[:2]) + "\n")
    keyless.write_text(sshd.config.read_text().replace(f"{sshd.folder}/client_key", str(key)))
    with socket.create_server(("127.0.0.1", 0)) as web:
        serving = threading.Thread(target=_refuse, args=(web,), daemon=True)
        serving.start()
        target = {**over_ssh(sandbox, sshd), **keys}
        places = {"config": sshd.config, "keyless": keyless, "other": other, "web": web.getsockname()[1]}
        define_target(sandbox, "t", **{**target, "ssh": str(target["ssh"]).format(**places)})
        found = checks(sandbox, "t", code=1)
        web.shutdown(socket.SHUT_RDWR)
        serving.join()
    assert [each for each, verdict in verdicts(found).items() if verdict == "wrong"] == [name]
    assert text in found[name]["found"] and found[name]["fix"]
    assert all(found[each]["verdict"] == "not checked" for each in AFTER_LOGIN)


def _refuse(web: socket.socket) -> None:
    """What a web server says to who speaks no HTTP, until its socket is shut."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = web.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_wrong_configuration_is_told_first(sandbox: Sandbox) -> None:
    define_target(sandbox, "t", backend="ssh", keep_s=-1)
    found = said(sandbox, "doctor", "t", code=1)["checks"]
    assert [check["verdict"] for check in found] == ["wrong"] and "targets.t.keep_s" in found[0]["found"]
    unknown = farcell(sandbox, "doctor", "t2")
    assert unknown.returncode == 2 and "Unknown target 't2'" in unknown.stderr


def test_a_folder_here_that_is_too_long_for_sockets_is_named(sshd: Sshd, sandbox: Sandbox) -> None:
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    sandbox.runtime = sandbox.folder / ("r" * 80)
    found = checks(sandbox, "t", code=1)
    assert found["this machine"]["verdict"] == "wrong" and "103 fit" in found["this machine"]["found"]
    assert all(found[each]["verdict"] == "not checked" for each in AFTER_LOGIN)


def test_pythons_that_will_not_do_are_named(sshd: Sshd, sandbox: Sandbox) -> None:
    define_target(sandbox, "gone", **over_ssh(sandbox, sshd, python="/no/such/python"))
    define_target(sandbox, "bare", **over_ssh(sandbox, sshd, python="/usr/bin/python3 -S", environment="never"))
    gone = checks(sandbox, "gone", code=1)
    assert gone["Python"]["verdict"] == "wrong" and "/no/such/python cannot be run" in gone["Python"]["found"]
    assert gone["session folders"]["verdict"] == "not checked" and gone["clock"]["verdict"] == "ok"
    bare = checks(sandbox, "bare", code=1)
    assert bare["kernel's packages"]["verdict"] == "wrong" and "has no ipykernel" in bare["kernel's packages"]["found"]


def test_what_a_login_shell_does_by_itself_is_told(openssh: None, sandbox: Sandbox) -> None:
    """Noise is read past; a shell that runs nothing is no way."""
    if os.geteuid() != 0:
        pytest.skip("optional: another account needs root: run the tests as root")
    noisy = sandbox.folder / "noisy"
    noisy.write_text("#!/bin/sh\necho Welcome; echo 'Disk quota at 93 %' >&2\nexec /bin/sh \"$@\"\n")
    noisy.chmod(0o755)
    sandbox.folder.chmod(0o755)
    with Sshd(login_shell=str(noisy)) as server:
        keys = over_ssh(sandbox, server, host=server.other, python="/usr/bin/python3", env={})
        del keys["cache_dir"]
        define_target(sandbox, "t", **keys)
        found = checks(sandbox, "t")
        assert found["login shell"]["verdict"] == "note" and "Welcome; Disk quota at 93 %" in found["login shell"]["found"]
        assert found["Python"]["verdict"] == "ok"
        noisy.write_text("#!/bin/sh\necho This account is currently not available.\nexit 1\n")
        assert "currently not available" in checks(sandbox, "t", code=1)["login shell"]["found"]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; only root may."""
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "farcell-test", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"optional: no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_disks_that_are_full_read_only_or_run_nothing_are_named(sshd: Sshd, sandbox: Sandbox) -> None:
    """In folders whose names have spaces and quotes."""
    with ExitStack() as stack:
        full = stack.enter_context(mounted(sandbox.folder / "a 'full' disk", "size=64k"))
        inert = stack.enter_context(mounted(sandbox.folder / 'no "programs"', "size=64m,noexec"))
        fixed = stack.enter_context(mounted(sandbox.folder / "read $only", "size=64m,ro"))
        deep = sandbox.folder / ("d" * 90)
        env = {"FARCELL_RUNTIME_DIR": str(deep), "TMPDIR": str(inert)}
        define_target(sandbox, "full", **over_ssh(sandbox, sshd, env=env, cache_dir=str(full / "cache")))
        define_target(sandbox, "fixed", **over_ssh(sandbox, sshd, env={"FARCELL_RUNTIME_DIR": str(fixed)}, cache_dir=str(fixed)))
        bare = {"python": "/usr/bin/python3 -S", "cache_dir": str(inert / "cache")}
        define_target(sandbox, "inert", **over_ssh(sandbox, sshd, **bare))
        found = checks(sandbox, "full", code=1)
        assert found["cache folder"]["verdict"] == "wrong" and "a 'full' disk" in found["cache folder"]["found"]
        assert found["sockets"]["verdict"] == "wrong" and "103 fit" in found["sockets"]["found"]
        assert found["temporary files"]["verdict"] == "note" and "noexec" in found["temporary files"]["found"]
        found = checks(sandbox, "fixed", code=1)
        for name in ("cache folder", "session folders"):
            assert found[name]["verdict"] == "wrong" and "Read-only file system" in found[name]["found"]
        assert found["sockets"]["verdict"] == found["locks and fsync"]["verdict"] == "not checked"
        found = checks(sandbox, "inert", code=1)
        assert "noexec" in found["cache folder"]["found"] and "cache_dir" in found["cache folder"]["fix"]
    shutil.rmtree(sandbox.folder / "read $only")


def test_a_cluster_is_looked_at_from_its_login_node(login_node: Sshd, sandbox: Sandbox) -> None:
    define_target(sandbox, "good", **over_slurm(sandbox, login_node, gpus=1))
    define_target(sandbox, "bad", **over_slurm(sandbox, login_node, partition="no-such"))
    found = checks(sandbox, "good")
    assert "to start at" in found["job as asked for"]["found"] and "can be reached" in found["way to nodes"]["found"]
    (left,) = said(sandbox, "clean", "good", "--all")["found"]
    assert left["kind"] == "kernel host" and not left["used"] and not left["stale"]
    assert "gpu" in found["GPUs"]["found"] and found["its locks and fsync"]["verdict"] == "ok"
    found = checks(sandbox, "bad", code=1)
    assert [name for name, verdict in verdicts(found).items() if verdict == "wrong"] == ["job as asked for"]
    assert "invalid partition" in found["job as asked for"]["found"].lower()


def test_at_a_terminal_it_asks_what_ssh_asks(sshd: Sshd, sandbox: Sandbox) -> None:
    """Here whether an unknown host is to be trusted; the answer is ssh's to keep."""
    known = sandbox.folder / "known_hosts"
    asking = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=ask -o BatchMode=no"
    define_target(sandbox, "t", **over_ssh(sandbox, sshd, ssh=f"ssh -F {sshd.config} {asking}"))
    unasked = checks(sandbox, "t", code=1)
    assert unasked["host key"]["verdict"] == "wrong" and not known.exists()
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "farcell", "doctor", "t"]
    with subprocess.Popen(
        words, env=sandbox.environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as asked:
        os.write(ours, b"yes\n")
        output, _ = asked.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 0 and "Are you sure you want to continue connecting" in output and known.read_text()
