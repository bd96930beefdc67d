"""What a user installs works outside the checkout: wheel, editable install, and `make` in awkward places."""

from __future__ import annotations

import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from commands import call
from notebooks import Notebook
from sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WHERE = "import farcell, farcell_host; print(farcell.__file__); print(farcell_host.__file__)"


def test_wheel_holds_its_packages_and_licences(built: dict[str, Path]) -> None:
    """The wheel has all packages with their type markers, both licences, and nothing beside them but what front ends load."""
    names = zipfile.ZipFile(built["wheel"]).namelist()
    outside = re.compile(r"^[^/]*\.(dist-info|data/data/(share|etc)/jupyter)/")
    assert {name.split("/")[0] for name in names if not outside.match(name)} == {"farcell", "farcell_broker", "farcell_host"}
    assert {"farcell/py.typed", "farcell_broker/py.typed", "farcell_host/py.typed", "farcell/magics.py"} <= set(names)
    licences = [name for name in names if "/licenses/" in name]
    assert any(name.endswith("/licenses/LICENSE") for name in licences)
    assert any("cloudpickle" in name and "LICENSE" in name for name in names)
    assert not [name for name in names if name.endswith(".pyc") or name.split("/")[-1].startswith("test_")]


def test_sdist_can_be_tested(built: dict[str, Path]) -> None:
    """The source archive holds the tests, docs and examples too."""
    with tarfile.open(built["sdist"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"Makefile", "LICENSE", "tests/conftest.py", "docs/architecture.md", "examples/first_light.ipynb"} <= names


def test_wheel_works_in_a_fresh_environment(installed_wheel: Path, sandbox: Sandbox) -> None:
    """After pip install of the wheel, a notebook elsewhere loads farcell and runs a remote cell."""
    site = call(installed_wheel, "-c", WHERE, cwd=sandbox.folder).split()
    assert all("site-packages" in path for path in site)
    assert "local" in call(installed_wheel.with_name("farcell"), "targets", "list", cwd=sandbox.folder, env=sandbox.environment())
    works_in(installed_wheel, sandbox)


def test_demo_runs_from_a_fresh_clone_in_a_folder_with_spaces(checkout: Path, sandbox: Sandbox) -> None:
    """`make demo` installs the clone (editable) and shows the notebook's outputs and the table of remote cells."""
    shown = call("make", "demo", f"PYTHON={sys.executable}", cwd=checkout, env=sandbox.environment())
    assert "epoch  30" in shown and "accuracy on images never seen: 0.9" in shown
    assert "Remote runs" in shown and "bytes sent" in shown
    python = checkout / ".venv" / "bin" / "python"
    assert all(str(checkout) in path for path in call(python, "-c", WHERE, cwd=sandbox.folder).splitlines())
    works_in(python, sandbox)
    assert "up to date" in call("make", ".venv/.farcell-demo", cwd=checkout)


def test_environment_is_made_without_ensurepip(checkout: Path, tmp_path: Path) -> None:
    """On a Debian without python3-venv, a pip from outside fills the environment."""
    script = tmp_path / "python3"
    real = os.path.realpath(sys.executable)
    script.write_text(
        "#!/bin/sh\n"
        'if [ "$1 $2" = "-m venv" ] && [ "$3" != "--without-pip" ]; then echo "no ensurepip" >&2; exit 1; fi\n'
        f'exec "{real}" "$@"\n'
    )
    script.chmod(0o755)
    folder = tmp_path / "env"
    code = "import sys; sys.path.insert(0, 'tools'); import environment; environment.make(*sys.argv[1:])"
    call(real, "-c", code, folder, script, cwd=checkout)
    assert "pip" in call(folder / "bin" / "python", "-m", "pip", "--version", cwd=tmp_path)


def works_in(python: Path, sandbox: Sandbox) -> None:
    with Notebook(sandbox, python=str(python)) as notebook:
        notebook.run("%load_ext farcell").check()
        assert notebook.run("x = 20").check().result is None
        assert notebook.run("%%remote\ny = x + 1\ny").check().result == "21"
        assert notebook.run("y").result == "21"
