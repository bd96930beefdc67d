"""Machines over SSH that are not as one would like them: what works all the same, and what is said of the rest.

Others are in test_ssh.py (port, user, Python, set-up commands, login shells, an unknown host key) and test_full_disk.py.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks import Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd

BANNER = "Authorised use only. " * 40 + "\nsend host\nerror all is lost\n"
WRAPPER = """\
#!/bin/bash
[ -f {fault} ] || exec bash -c "$SSH_ORIGINAL_COMMAND"
exec unshare -m bash -c '. {fault}; exec bash -c "$SSH_ORIGINAL_COMMAND"'
"""
"""What each command of a session runs in: a mount namespace of its own, where things can be broken for it alone."""


class Machine:
    """A server with a long banner, one notebook, and a fault at a time."""

    def __init__(self, server: Sshd, box: Sandbox, notebook: Notebook, fault: Path) -> None:
        self.server, self.box, self.notebook, self._fault = server, box, notebook, fault
        self._targets = 0

    @property
    def folder(self) -> Path:
        """On the target as here."""
        return self.box.folder

    def breaks(self, script: str) -> None:
        """This is run in each session from now on, before anything else."""
        self._fault.write_text(script)

    def mends(self) -> None:
        self._fault.unlink(missing_ok=True)

    def target(self, **keys: object) -> str:
        self._targets += 1
        name = f"t{self._targets}"
        target = over_ssh(self.box, self.server)
        env = {**target["env"], **keys.pop("env", {})}  # type: ignore[dict-item]
        wanted = {**target, "env": env, **keys}
        define_target(self.box, name, **{key: value for key, value in wanted.items() if value is not None})
        return name

    def works(self, **keys: object) -> str:
        """A target whose cells run, and read and write what is large."""
        name = self.target(**keys)
        self.notebook.run("import numpy as np\nlarge = np.arange(1_000_000)").check()
        cell = self.notebook.run(f"%%remote {name}\nprint('there')\nlarge[7] = -1\nint(large.sum())").check()
        assert (cell.stdout, cell.result) == ("there\n", "499999499992") and self.notebook.value("int(large[7])") == -1
        assert cell.stderr == "", "something is told although all is well"
        return name

    def fails(self, said: str, **keys: object) -> None:
        name = self.target(**keys)
        cell = self.notebook.run(f"%%remote {name}\n1")
        assert cell.error is not None, "it runs"
        assert said in cell.error.value, cell.error.value
        assert self.notebook.run("1 + 1").check().result == "2"


@pytest.fixture(scope="module")
def shared_machine(openssh: None) -> Iterator[Machine]:
    box = Sandbox()
    fault, wrapper, banner = (box.folder / name for name in ("fault.sh", "wrapper", "banner"))
    wrapper.write_text(WRAPPER.format(fault=fault))
    wrapper.chmod(0o755)
    banner.write_text(BANNER)
    box.folder.chmod(0o755)
    with Sshd(extra=[f"ForceCommand {wrapper}", f"Banner {banner}"]) as server, Notebook(box) as notebook:
        notebook.run("%load_ext farcell").check()
        yield Machine(server, box, notebook, fault)
        fault.unlink(missing_ok=True)
        notebook.close()
    left = box.close()
    assert not left, f"left behind: {left}"


@pytest.fixture
def machine(shared_machine: Machine) -> Iterator[Machine]:
    """As it should be, at the beginning and at the end."""
    yield shared_machine
    shared_machine.mends()
    for name in shared_machine.notebook.value("[*__import__('farcell.api').api.workspace().sessions]"):
        shared_machine.notebook.run(f"%remote stop {name} --no-fetch").check()


@pytest.fixture
def mounts() -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("optional: mounts of its own need root (in a container: docker run --privileged)")


def test_a_host_that_is_none(machine: Machine) -> None:
    machine.fails("cannot be reached: no such name is known here.", host="nowhere.invalid")


def test_a_key_that_is_not_let_in(machine: Machine) -> None:
    """Nor tried again by itself."""
    key, config = machine.folder / "other_key", machine.folder / "other_config"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config.write_text(machine.server.config.read_text().replace(str(machine.server.folder / "client_key"), str(key)))
    machine.fails("needs authentication: run %remote reconnect t", ssh=f"ssh -F {config}")


def test_a_host_key_that_has_changed(machine: Machine) -> None:
    known = machine.folder / "changed_hosts"
    key = (machine.folder / "other_key").with_name("host_key_before")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    known.write_text(f"[127.0.0.1]:{machine.server.port} {Path(f'{key}.pub').read_text()}")
    ssh = f"ssh -F {machine.server.config} -o UserKnownHostsFile={known}"
    machine.fails("the host's key is not the one that is known: the machine was set up anew, or another answers", ssh=ssh)


def test_noise_before_and_beside_everything(machine: Machine, mounts: None) -> None:
    """As a .bashrc makes it on both streams, below a banner that looks like answers of ours."""
    machine.breaks("echo Welcome; echo error all is lost; printf 'no line end'; echo 'Disk quota at 93 %' >&2")
    machine.works()


def test_no_shared_memory(machine: Machine, mounts: None) -> None:
    machine.breaks("mount -t tmpfs -o ro none /dev/shm")
    machine.works()


def test_a_temporary_folder_that_runs_no_programs(machine: Machine, mounts: None) -> None:
    """All that farcell writes there lies in it, too."""
    machine.breaks("mount --bind /tmp /tmp; mount -o remount,bind,noexec /tmp")
    machine.works()


def test_a_home_that_cannot_be_written(machine: Machine, mounts: None) -> None:
    """Said with the way out, which works."""
    home = machine.folder / "home of a stranger"
    home.mkdir()
    at_home = (
        f"mount --bind {shlex.quote(str(home))} {shlex.quote(str(home))}; mount -o remount,bind,ro {shlex.quote(str(home))}\n"
    )
    machine.breaks(f"{at_home}export HOME={shlex.quote(str(home))}")
    machine.fails(
        f"The folder {home}/.cache/farcell cannot be made: set cache_dir of the target to one that can be", cache_dir=None
    )
    machine.works()


def test_a_home_that_is_full(machine: Machine, mounts: None) -> None:
    home = machine.folder / "full home"
    home.mkdir(exist_ok=True)
    machine.breaks(f"mount -t tmpfs -o size=64k none {shlex.quote(str(home))}; export HOME={shlex.quote(str(home))}")
    machine.fails("The kernel host could not be written into", cache_dir=None)
    machine.works()


def test_paths_with_blanks_and_quotes(machine: Machine) -> None:
    """Of the cache, of sessions, of the working folder and of Python."""
    odd = machine.folder / 'it\'s "a b" $HOME'
    (odd / "cwd").mkdir(parents=True)
    python = odd / "python 3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    env = {"FARCELL_RUNTIME_DIR": str(odd / "r")}
    name = machine.works(cache_dir=str(odd / "c"), cwd=str(odd / "cwd"), python=shlex.quote(str(python)), env=env)
    cell = machine.notebook.run(f"%%remote {name}\nimport os\nos.getcwd()").check()
    assert cell.result == repr(str(odd / "cwd"))
    machine.notebook.run(f"import os\nos.chdir({str(machine.folder)!r})").check()


def test_a_folder_too_deep_for_sockets(machine: Machine) -> None:
    """Over there it is said; a path may have 107 bytes."""
    deep = machine.folder / ("d" * 90)
    machine.fails("is too long for Unix sockets", env={"FARCELL_RUNTIME_DIR": str(deep)})


def test_a_folder_too_deep_for_sockets_here(machine: Machine) -> None:
    """Before ssh says so in words of its own, which name a path that nobody knows."""
    deep = machine.folder / ("d" * 70)
    machine.notebook.run(
        f"import os\nbefore = os.environ['FARCELL_RUNTIME_DIR']\nos.environ['FARCELL_RUNTIME_DIR'] = {str(deep)!r}"
    ).check()
    try:
        machine.fails("cannot be reached from here: ")
    finally:
        machine.notebook.run("os.environ['FARCELL_RUNTIME_DIR'] = before").check()
