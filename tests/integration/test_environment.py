"""Packages of a target against the notebook's: told once, shown, installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from notebooks import Notebook
from sandbox import Sandbox

NAME = "fc_tiny"


def wheel(folder: Path, version: str) -> Path:
    """A distribution of one module, as a package index would have it."""
    info = f"{NAME}-{version}.dist-info"
    parts = {
        f"{NAME}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": f"{NAME}\n",
    }
    parts[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*parts, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    made = folder / f"{NAME}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return made


@pytest.fixture(params=["1", "0"], ids=["direct", "zmq"])
def direct(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the remote kernel is reached over its own socket."""
    monkeypatch.setenv("FARCELL_DIRECT", request.param)


@pytest.fixture
def nb(direct: None, sandbox: Sandbox, notebook: Notebook, tmp_path: Path) -> Notebook:
    """The notebook has version 2.0, the target's own environment 1.0; an index of one folder has both."""
    packages = tmp_path / "site-packages"
    index = tmp_path / "index"
    zipfile.ZipFile(wheel(index, "2.0")).extractall(packages)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "of_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")  # ipykernel and pip
    zipfile.ZipFile(wheel(index, "1.0")).extractall(site)
    folder = sandbox.jupyter_config / "farcell"
    folder.mkdir(parents=True)
    env = f'{{ PIP_NO_INDEX = "1", PIP_FIND_LINKS = "{index}", UV_NO_INDEX = "1", UV_FIND_LINKS = "{index}" }}'
    (folder / "targets.toml").write_text(f'[targets.venv]\npython = "{python}"\nenv = {env}\n')
    notebook.run(f"import sys; sys.path.append({str(packages)!r}); import fc_tiny").check()
    return notebook


def test_another_version_is_told_once_shown_and_brought_in_line(nb: Notebook) -> None:
    """The notice names the command; the command asks, streams what the installer says, and then both have the same."""
    first = nb.run("%%remote venv\nimport fc_tiny\nfc_tiny.VERSION").check()
    assert first.result == "'1.0'"
    assert (
        "'venv' has other packages than this notebook: fc_tiny 1.0 (here 2.0). The same ones: %remote env sync venv fc_tiny\n"
        in first.stderr
    )
    assert "fc_tiny" not in nb.run("%%remote venv\nimport fc_tiny").check().stderr
    shown = nb.run("%remote env diff venv").check().displays[0]["text/plain"].splitlines()
    assert shown[-1].split() == ["fc_tiny", "2.0", "1.0"] and len(shown) == 4
    declined = nb.run("%remote env sync venv fc_tiny", answers=["n"])
    assert declined.reply["evalue"] == "Nothing was installed on 'venv'."
    done = nb.run("%remote env sync venv fc_tiny", answers=["y"]).check()
    assert "fc_tiny==2.0" in done.stdout and "nstalled" in done.stdout
    assert "no difference in 1" in done.displays[-1]["text/plain"]
    nb.run("%remote restart venv").check()
    assert nb.run("%%remote venv\nimport fc_tiny\nfc_tiny.VERSION").check().result == "'2.0'"


def test_what_cannot_be_installed_is_an_error(nb: Notebook) -> None:
    """The installer's own words are shown, and the names that nobody has here are refused before anything starts."""
    cell = nb.run("%remote env sync venv no_such_thing --yes")
    assert cell.reply["evalue"] == "'no_such_thing' is not installed here, so there is no version of it to install."
    for made in Path(nb.value("str(fc_tiny.__file__)")).parents[1].glob("index/*-2.0-*"):
        made.unlink()
    cell = nb.run("%remote env sync venv fc_tiny --yes")
    assert cell.reply["ename"] == "FarcellError" and "The installer ended with exit code 1" in cell.reply["evalue"]
    assert "fc_tiny==2.0" in cell.stdout


def test_the_notebooks_own_environment_is_left_alone(notebook: Notebook) -> None:
    """The local target has the same packages: nothing differs, nothing is installed."""
    assert "this notebook's own" in notebook.run("%remote env diff local").check().displays[0]["text/plain"]
    cell = notebook.run("%remote env sync local --yes")
    assert cell.reply["ename"] == "Refused" and "runs in this notebook's own environment" in cell.reply["evalue"]
