"""Every way to a remote kernel passes the same tests: each backend, over the kernel's own socket and over zmq, and with a
remote Python whose ipykernel is of the other major version."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import ipykernel
import numpy
import pytest
from brokers import BrokerProcess
from notebooks import Notebook
from places import Place, define_target, over_slurm, over_ssh
from pythons import environment
from sandbox import Sandbox

WAYS = ("local", "local-attach", "local-zmq", "local-attach-zmq", "local-other", "local-attach-other", "ssh", "slurm", "broker")
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
    after = ExitStack()
    if how == "other":
        target = "other"
        define_target(box, target, backend=backend, python=str(request.getfixturevalue("other_python")))
    elif sshd is not None:
        target = "gpu-a"
        define_target(box, target, **(over_ssh if request.param == "ssh" else over_slurm)(box, sshd))
    elif request.param == "broker":
        target = "pool"
        broker = after.enter_context(BrokerProcess(box))
        broker.define(box, broker.user("ada"))
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
        after.close()
    left = box.close()
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def other_python() -> Path:
    """A Python that has ipykernel's other major version and numpy, nothing of farcell's."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-ipykernel{OTHER_MAJOR}"
    return environment(name, sys.executable, (OTHER_IPYKERNEL, f"numpy=={numpy.__version__}"))
