"""Remote kernels that really die: the cell says why, in words and as `error.reason`, and what to do; the next cell runs."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks import Cell, Notebook
from places import define_target, over_slurm, over_ssh
from sandbox import Sandbox
from services.service import until
from services.slurm import Slurm
from services.sshd import Sshd

LIMIT_MIB = 400
SEGFAULT = "import ctypes\ndef read_nothing():\n    ctypes.string_at(0)\nread_nothing()"
GREEDY = f"big = []\nfor _ in range({2 * LIMIT_MIB // 8}): big.append(bytearray(8 << 20))"
"""Never more than twice the limit: where that does not hold, the machine is to be spared."""


def died(notebook: Notebook, cell: Cell, reason: str, *words: str, name: str = "KernelDied") -> str:
    """The text of the one error, which is this class's and has this reason and these words."""
    assert [error.name for error in cell.errors] == [name], cell.errors
    text = cell.errors[0].value
    assert all(word in text for word in words), text
    assert notebook.value("__import__('sys').last_value.reason.value") == reason
    return text


def limited_group() -> Path | None:
    """A new control group with little memory; only root may make one, and not everywhere."""
    for top, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(top) / f"farcell-test-{os.getpid()}"
        if os.geteuid() != 0 or not (group.parent / "cgroup.procs").exists():
            continue
        group.mkdir()
        if (group / file).exists():
            (group / file).write_text(str(LIMIT_MIB << 20))
            return group
        group.rmdir()
    return None


@pytest.fixture(scope="module")
def limited() -> Iterator[Path]:
    """This Python, whose kernels are in a control group of their own, and the kernel host is not."""
    try:
        group = limited_group()
    except OSError:
        group = None
    if group is None:
        pytest.skip("optional: no control group with a limit of memory can be made here")
    python = Path("/tmp") / f"{group.name}-python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *kernel.json*) echo $$ > {group}/cgroup.procs || exit 8;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(stat.S_IRWXU)
    yield python
    python.unlink()
    until(lambda: not (group / "cgroup.procs").read_text(), 10, "an empty control group")
    group.rmdir()


def test_a_crash_in_a_library_shows_where_it_was(notebook: Notebook) -> None:
    cell = notebook.run(f"%%remote\n{SEGFAULT}")
    text = died(notebook, cell, "crashed", "crashed in a library (SIGSEGV", "Segmentation fault")
    assert text.index("in string_at") < text.index("in read_nothing")
    cell = notebook.run("%%remote\n5").check()
    assert cell.result == "5" and "crashed in a library (SIGSEGV" in cell.stderr


def test_other_signals_and_exits_have_a_reason(notebook: Notebook) -> None:
    died(notebook, notebook.run("%%remote\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), "killed", "SIGKILL")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 9))\nwhile True: pass"
    died(notebook, notebook.run(f"%%remote\n{limit}"), "limit", "SIGXCPU", "ulimit -t")
    died(notebook, notebook.run("%%remote\nimport os\nos._exit(3)"), "exited", "exited with code 3")


def test_a_kernel_over_its_limit_of_memory(limited: Path, sandbox: Sandbox, notebook: Notebook) -> None:
    """Killed by the system: with the most it had and the limit, which a kill by hand in the same place has not."""
    define_target(sandbox, "small", backend="local", python=str(limited))
    cell = notebook.run(f"%%remote small\n{GREEDY}")
    text = died(notebook, cell, "out-of-memory", f"of the {LIMIT_MIB} MiB that it may have", "Raise the limit there")
    assert re.search(r"it held up to [34]\d\d MiB", text)
    cell = notebook.run("%%remote small\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    died(notebook, cell, "killed", "by hand or by another program")


def test_over_ssh_too(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    died(notebook, notebook.run(f"%%remote t\n{SEGFAULT}"), "crashed", "in read_nothing")


def test_a_host_key_that_has_changed_is_not_one_that_is_unknown(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """Neither is accepted; what to do differs."""
    known = sandbox.folder / "known_hosts"
    known.touch()
    keys = over_ssh(sandbox, sshd, ssh=f"ssh -F {sshd.config} -o UserKnownHostsFile={known}")
    define_target(sandbox, "unknown", **keys)
    cell = notebook.run("%%remote unknown\n1", allow_stdin=False)
    died(notebook, cell, "host-key-unknown", "is not known yet", name="LoginRefused")
    define_target(sandbox, "changed", **keys)
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}\n")
    cell = notebook.run("%%remote changed\n1", allow_stdin=False)
    died(notebook, cell, "host-key-changed", "is not the one that is known", "ssh-keygen -R", name="LoginRefused")


def test_an_exception_for_want_of_room_says_what_to_do(notebook: Notebook) -> None:
    """Below its traceback; the exception itself is as the cell raised it."""
    cell = notebook.run("%%remote\nwith open('/dev/full', 'w') as file:\n    file.write('x' * 100_000)")
    (error,) = cell.errors
    assert (error.name, error.value) == ("OSError", "[Errno 28] No space left on device")
    assert error.traceback.splitlines()[-1].startswith("farcell: a disk of 'local' is full. Free some space there")
    assert notebook.value("getattr(__import__('sys').last_value, '__notes__', [])") == []
    cell = notebook.run("%%remote\nraise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB.')")
    assert "%remote gpus local shows who has how much" in cell.errors[0].traceback


@pytest.mark.slow
def test_what_a_scheduler_did_to_a_job(slurm: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """Preempted by a job of higher priority: the cell says so."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, partition="low", gpus=2))
    running = notebook.start("%%remote t\nprint('begun', flush=True)\nimport time; time.sleep(600)")
    running.until("begun")
    others = [slurm.submit("sleep 600", "--gres=gpu:2") for _ in slurm.nodes]
    try:
        cell = running.finish(90)
        assert "The run is interrupted: its job was preempted." in cell.stderr and cell.error is not None
    finally:
        slurm.run("scancel", *others)
        notebook.run("%remote stop t").check()
        notebook.close()
        until(lambda: not slurm.run("squeue", "--noheader", "--format=%i").stdout.split(), 30, "an empty queue")
