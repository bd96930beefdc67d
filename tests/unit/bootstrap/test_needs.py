"""What a kernel needs, and how a Python that lacks it is told."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from farcell_host.bootstrap import description, needs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["ipykernel-6.29.5.dist-info", "ipykernel"], None),
        (["ipykernel-7.0.0a1.dist-info"], None),
        (["ipykernel"], None),  # nothing says which version it is
        (["ipykernel-6.17.0.egg-info"], "ipykernel 6.17.0, which is older than 6.29"),
        (["ipykernel-5.5.6-py3.9.egg-info"], "ipykernel 5.5.6, which is older than 6.29"),
        (["ipykernel-6.4.dist-info", "ipykernel-6.30.1.dist-info"], None),  # what an upgrade left
        (["ipykernel_launcher-1.0.dist-info"], None),
    ],
)
def test_a_version_that_is_too_old_counts_as_none(files: list[str], told: str | None) -> None:
    assert needs.too_old("ipykernel", files, (6, 29)) == told


def test_this_python_lacks_nothing_and_a_bare_one_does() -> None:
    assert needs.lacking() is None
    code = "import sys; sys.path.insert(0, sys.argv[1]); from farcell_host.bootstrap import needs; print(needs.lacking())"
    package = str(next(iter(needs.__spec__.parent.split("."))))
    folder = sys.modules[package].__path__[0].removesuffix(package)
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code, folder], capture_output=True, text=True, check=True)
    assert said.stdout == "no ipykernel\n"


def test_an_environment_gets_versions_that_farcell_itself_would() -> None:
    """Where both ask for a package, they ask for the same."""
    own = {canonicalize_name(r.name): r for r in map(Requirement, metadata.requires("farcell") or ())}
    asked = [Requirement(each) for each in needs.REQUIREMENTS]
    for each in asked:
        if each.name != "pip":
            assert each.specifier == own[canonicalize_name(each.name)].specifier


@pytest.mark.parametrize(
    ("suffix", "abi"),
    [
        (".cpython-312-x86_64-linux-gnu.so", "cp312"),
        (".cpython-313t-aarch64-linux-musl.so", "cp313t"),
        (".cpython-310-darwin.so", "cp310"),
        (".so", "cp311"),
    ],
)
def test_the_abi_is_named_as_wheels_name_it(suffix: str, abi: str) -> None:
    assert description.abi_of(suffix, (3, 11)) == abi
