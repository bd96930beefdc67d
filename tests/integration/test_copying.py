"""Copies to and from a machine over SSH: the link may be lost, a session end, the disk be too small; and how it shows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks import Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd

MIB = 1 << 20
PART_S = 30.0


@pytest.fixture
def far(sandbox: Sandbox, sshd: Sshd, notebook: Notebook) -> Path:
    """A folder of the target `t`."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    notebook.run("%%remote t\n1").check()
    folder = sandbox.folder / "far away"
    folder.mkdir()
    return folder


def until_some_is_there(part: Path, size: int) -> None:
    deadline = time.monotonic() + PART_S
    while not (part.exists() and part.stat().st_size >= size):
        assert time.monotonic() < deadline, f"{part} does not grow"
        time.sleep(0.005)


def test_a_lost_link_is_gone_on_over(far: Path, sandbox: Sandbox, sshd: Sshd, notebook: Notebook) -> None:
    """In the middle of a file; what had arrived is not sent again."""
    content = os.urandom(160 * MIB)
    (sandbox.folder / "big").write_bytes(content)
    running = notebook.start(f"%remote put {sandbox.folder}/big '{far}' -t t")
    until_some_is_there(far / ".big.farcell-part", 32 * MIB)
    sshd.drop()
    cell = running.finish().check()
    assert cell.stdout == f"Sent 1 file (167.8 MB) to {far}/big on 't'.\n"
    assert (far / "big").read_bytes() == content
    connection = "__import__('farcell').connect('t').session._life.connection"
    assert notebook.value(f"{connection}.reconnects") >= 1
    assert notebook.value(f"{connection}.sent_bulk_bytes") < 160 * MIB + 16 * MIB

    # The other way: the kernel there is killed, and another one goes on with what is here.
    running = notebook.start(f"%remote get '{far}/big' {sandbox.folder}/back -t t")
    until_some_is_there(sandbox.folder / ".back.farcell-part", 64 * MIB)
    (host,) = (sandbox.folder / "far" / "r").glob("*/host.json")
    os.kill(json.loads(host.read_text())["kernel_pid"], signal.SIGKILL)
    error = running.finish().error
    assert error is not None and error.name == "KernelDied"
    assert not (sandbox.folder / "back").exists()
    cell = notebook.run(f"%remote get '{far}/big' {sandbox.folder}/back -t t").check()
    assert "Of that " in cell.stdout and (sandbox.folder / "back").read_bytes() == content


@pytest.fixture
def small_disk(sandbox: Sandbox) -> Iterator[Path]:
    folder = sandbox.folder / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "farcell-test", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"optional: no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_known_before(far: Path, small_disk: Path, sandbox: Sandbox, notebook: Notebook) -> None:
    """Nothing is written then, in neither direction; the file that is there needs its room until the new one is whole."""
    (sandbox.folder / "big").write_bytes(bytes(3 * MIB))
    notebook.run(f"%remote put {sandbox.folder}/big {small_disk}/ -t t").check()
    (sandbox.folder / "big").write_bytes(bytes(3 * MIB + 1))
    cell = notebook.run(f"%remote put {sandbox.folder}/big {small_disk}/ -t t")
    assert cell.error is not None and cell.error.name == "Refused"
    assert "3.1 MB are needed on 't' in" in cell.error.value and "1.0 MB are free. Nothing was written." in cell.error.value
    assert [path.name for path in small_disk.iterdir()] == ["big"]
    (far / "back").write_bytes(bytes(2 * MIB))
    cell = notebook.run(f"%remote get '{far}/back' {small_disk}/ -t t")
    assert cell.error is not None and "2.1 MB are needed here in" in cell.error.value


def test_what_is_asked_for_wrongly(far: Path, notebook: Notebook) -> None:
    for line, said in {
        "put": "the following arguments are required: path",
        "get a b c": "unrecognized arguments: c",
        "put 'a": "No closing quotation",
        "get a --yes": "unrecognized arguments: --yes",
        "put /no/such/file -t t": "There is no /no/such/file.",
        "get /no/such/file -t t": "'t': There is no /no/such/file.",
        "get /dev/null -t t": "/dev/null is neither a file nor a folder",
    }.items():
        cell = notebook.run(f"%remote {line}")
        assert said in cell.stderr + str(cell.error), line


def test_relative_names_count_from_the_working_folders(far: Path, sandbox: Sandbox, notebook: Notebook) -> None:
    """Wherever a cell has gone: the notebook's goes along."""
    (sandbox.folder / "a b.txt").write_text("a")
    notebook.run(f"%%remote t\nimport os\nos.chdir({str(far)!r})").check()
    cell = notebook.run(f"%remote put '{sandbox.folder}/a b.txt' -t t").check()
    assert cell.stdout == f"Sent 1 file (1 B) to {far}/a b.txt on 't'.\n"
    assert notebook.run("%remote get 'a b.txt' new/ -t t").check().stdout.startswith("Fetched 1 file")
    assert (far / "new" / "a b.txt").read_text() == "a"
