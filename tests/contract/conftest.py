"""Every way to a remote kernel passes the same tests: each backend, over the kernel's own socket and over zmq, and with a
remote Python whose ipykernel is of the other major version."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import ipykernel
import numpy
import pytest
from commands import call
from notebooks import Notebook
from places import Place, define_target, over_slurm, over_ssh
from sandbox import Sandbox

ROOT = Path(__file__).parents[2]
WAYS = ("local", "local-attach", "local-zmq", "local-attach-zmq", "local-other", "local-attach-other", "ssh", "slurm")
OTHER_MAJOR, OTHER_IPYKERNEL = (6, "ipykernel==6.29.*") if ipykernel.version_info[0] >= 7 else (7, "ipykernel>=7")


@pytest.fixture(scope="module", params=WAYS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One notebook a module and way: starts cost seconds, and the cells do not disturb each other."""
    backend = "local-attach" if request.param.startswith("local-attach") else "local"
    how = request.param.removeprefix(backend).removeprefix("-")
    far = {"ssh": "sshd", "slurm": "login_node"}.get(request.param)
    sshd = request.getfixturevalue(far) if far is not None else None
    box = Sandbox()
    target = backend
    if how == "other":
        target = "other"
        define_target(box, target, backend=backend, python=str(request.getfixturevalue("other_python")))
    elif sshd is not None:
        target = "gpu-a"
        define_target(box, target, **(over_ssh if request.param == "ssh" else over_slurm)(box, sshd))
    before = os.environ.get("FARCELL_DIRECT")
    os.environ["FARCELL_DIRECT"] = "0" if how == "zmq" else "1"
    try:
        with Notebook(box) as notebook:
            notebook.run("%load_ext farcell").check()
            yield Place(notebook, target, request.param)
    finally:
        os.environ.pop("FARCELL_DIRECT", None)
        if before is not None:
            os.environ["FARCELL_DIRECT"] = before
    left = box.close()
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def other_python() -> Path:
    """A Python that has ipykernel's other major version and numpy, nothing of farcell's: made once, under a lock."""
    folder = ROOT / ".venvs" / f"python{sys.version_info[0]}.{sys.version_info[1]}-ipykernel{OTHER_MAJOR}"
    python = folder / "bin" / "python"
    wanted = (OTHER_IPYKERNEL, f"numpy=={numpy.__version__}")
    recipe = "\n".join([sys.version, str(folder), *wanted])
    made = folder / "recipe"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != recipe:
            shutil.rmtree(folder, ignore_errors=True)
            # Our own pip fills it: a Debian without python3-venv has no other.
            call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
            options = ("--quiet", "--disable-pip-version-check")
            call(sys.executable, "-m", "pip", "--python", python, "install", *options, *wanted, cwd=ROOT)
            made.write_text(recipe)
    return python
