"""Targets where nothing is installed but Python: an environment is made there, once, from an index or from wheels that are sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks import Cell, Notebook
from places import define_target, over_ssh
from pythons import another_minor, bare_python, too_old
from sandbox import Sandbox
from services.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MAKING_S = 240.0
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "UV_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
"""Of a machine that reaches no package index."""


def far(sandbox: Sandbox, sshd: Sshd, python: str, env: dict[str, str], name: str = "t", **keys: object) -> Path:
    """Defines a target over ssh with that Python; its cache folder."""
    target = over_ssh(sandbox, sshd, python=python, **keys)
    assert isinstance(target["env"], dict)
    define_target(sandbox, name, **{**target, "env": {**target["env"], **env}})
    return sandbox.folder / "far" / "cache"


def environments(cache: Path) -> list[Path]:
    return [path for path in (cache / "environments").glob("*") if path.is_dir()]


@pytest.mark.parametrize("minor", ["this", "another"])
def test_a_machine_without_a_network_gets_wheels_from_here(minor: str, sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """For its own version of Python, and without pip or ensurepip there: what is lacking is said with the command that sends it."""
    python = bare_python(sandbox.folder / "bare", sys.executable if minor == "this" else another_minor(), ("ensurepip",))
    cache = far(sandbox, sshd, python, NO_INDEX)
    cell = notebook.run("%%remote t\n1")
    assert cell.error is not None and cell.error.name == "NoEnvironment"
    assert f"{python} has no ipykernel, and nothing to install it with: no uv, pip or ensurepip." in cell.error.value
    assert "%remote env ship t sends what it takes from here." in cell.error.value
    assert environments(cache) == []
    shipped = notebook.run("%remote env ship t", timeout=MAKING_S).check()
    assert shipped.stdout.startswith("Sent to 't': ") and "Its kernels run with " in shipped.stdout
    cell = notebook.run("%%remote t\nimport sys, pynvml\nhere = sys.version_info[:2], sys.prefix\nhere").check()
    version, prefix = notebook.value("here")
    assert (tuple(version) == sys.version_info[:2]) == (minor == "this")
    assert environments(cache) == [Path(prefix)]
