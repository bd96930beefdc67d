"""The JupyterLab extension in wheel, source archive and installs: built when it must be, carried where it is built."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import farcell
import pytest
from commands import call

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "labextension"
OWN_BYTES = 250_000
SHARE = "share/jupyter/labextensions/farcell"
COMMANDS = ("sh", "env", "uname")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    return tool("labextension")


@pytest.fixture
def unbuilt(checkout: Path, tmp_path: Path) -> Path:
    """A clone in which nothing was built yet."""
    folder = tmp_path / "a clone"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("node_modules", "out", ".venv"))
    shutil.rmtree(folder / "jupyter_ext" / "farcell" / "labextension", ignore_errors=True)
    return folder


@pytest.fixture
def without_node(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which nobody has installed Node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COMMANDS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    assert shutil.which("node", path=str(folder)) is None
    return {**os.environ, "PATH": str(folder)}


def test_versions_agree() -> None:
    """The extension's package says the version that the Python package does."""
    assert json.loads((SOURCE / "package.json").read_text())["version"] == farcell.__version__


def test_wire_types_are_those_of_the_server() -> None:
    """The front end's types are made from the models that check requests and answers."""
    wire_types = tool("wire_types")
    assert wire_types.FILE.read_text() == wire_types.text(), "run python tools/wire_types.py"


def test_lock_files_name_no_addresses() -> None:
    """Packages come from whichever registry the builder's machine is set up for."""
    for lock in (SOURCE / "yarn.lock", SOURCE / "checks" / "yarn.lock"):
        said = lock.read_text()
        assert "resolution:" in said and "http" + "://" not in said and "http" + "s://" not in said


def test_a_changed_source_counts_as_not_built(hook: ModuleType, tmp_path: Path) -> None:
    """A changed, a new and a renamed file do; another folder and the files' times do not."""
    source, built = tmp_path / "source", tmp_path / "built"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("node_modules", ".yarn", "checks"))
    built.mkdir()
    assert not hook.is_current(source, built)
    (built / hook.DIGEST).write_text(hook.digest(source))
    assert hook.is_current(source, built)
    assert hook.digest(source) == hook.digest(SOURCE)
    index = source / "src" / "index.ts"
    os.utime(index)
    assert hook.is_current(source, built)
    said = index.read_text()
    index.write_text(said + "\n")
    assert not hook.is_current(source, built)
    index.write_text(said)
    (source / "src" / "another.ts").touch()
    assert not hook.is_current(source, built)
    (source / "src" / "another.ts").rename(source / "style" / "another.ts")
    assert not hook.is_current(source, built)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_source_and_wheel_carry_it(built: dict[str, Path]) -> None:
    """Once in the wheel, where JupyterLab looks, and small."""
    archive = zipfile.ZipFile(built["wheel"])
    inside = [name for name in archive.namelist() if "labextension" in name]
    assert inside and all(f".data/data/{SHARE}/" in name for name in inside), inside
    assert any(name.endswith("/install.json") for name in inside)
    sizes = {name: archive.getinfo(name).file_size for name in inside if name.endswith(".js")}
    assert any("/static/remoteEntry." in name for name in sizes)
    assert sum(sizes.values()) < OWN_BYTES, sizes
    listed = call("tar", "--list", "-f", built["sdist"], cwd=built["sdist"].parent)
    assert "/jupyter_ext/farcell/labextension/static/remoteEntry." in listed
    assert "/labextension/src/index.ts" in listed and "node_modules" not in listed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jupyterlab_enables_it_from_a_wheel_without_node(
    built: dict[str, Path], without_node: dict[str, str], tmp_path: Path
) -> None:
    call(sys.executable, "-m", "venv", "env", cwd=tmp_path)
    binaries = tmp_path / "env" / "bin"
    quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    call(binaries / "python", *quiet, built["wheel"], "jupyterlab>=4.2", cwd=tmp_path, env=without_node)
    listed = call(binaries / "jupyter-labextension", "list", cwd=tmp_path, env=without_node)
    [line] = [line for line in listed.splitlines() if line.split()[:1] == ["farcell"]]
    assert f"v{farcell.__version__}" in line and "enabled" in line and "OK" in line


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_source_install_builds_it_on_a_machine_without_node(
    unbuilt: Path, without_node: dict[str, str], hook: ModuleType, tmp_path: Path
) -> None:
    """A build requirement brings Node; once built it is not built, and not required, again."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "out", "."],
        cwd=unbuilt, env=without_node, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "RequestError" in done.stdout + done.stderr:
        pytest.skip("optional: the packages that build the extension cannot be fetched")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    [wheel] = (tmp_path / "out").glob("*.whl")
    assert any("/static/remoteEntry." in name for name in zipfile.ZipFile(wheel).namelist())
    assert hook.is_current(unbuilt / "labextension", unbuilt / "jupyter_ext" / "farcell" / "labextension")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_editable_install_goes_on_when_it_cannot_be_built(unbuilt: Path, tmp_path: Path) -> None:
    """Without the packages that build it there is no panel, and all else; a wheel without it is not made."""
    call(sys.executable, "-m", "venv", "env", cwd=tmp_path)
    nowhere = {
        **os.environ,
        "YARN_NPM_REGISTRY_SERVER": "http" + "://127.0.0.1:9",
        "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
        "YARN_GLOBAL_FOLDER": str(tmp_path / "yarn"),
        "YARN_HTTP_RETRY": "0",
    }
    python = tmp_path / "env" / "bin" / "python"
    said = call(python, "-m", "pip", "install", "--no-deps", "-v", "--editable", ".", cwd=unbuilt, env=nowhere)
    assert "The JupyterLab extension could not be built" in said and "Installed without it" in said
    assert not (tmp_path / "env" / SHARE).exists()
    done = subprocess.run(
        [python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "out", "."],
        cwd=unbuilt, env=nowhere, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "could not be built" in done.stdout + done.stderr
