"""Targets where nothing is installed but Python: an environment is made there, from an index or from wheels that are sent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from farcell_host.bootstrap.needs import REQUIREMENTS
from notebooks import Notebook, Running
from places import define_target, over_slurm, over_ssh
from pythons import another_minor, bare_python, too_old
from sandbox import Sandbox
from services.service import until
from services.slurm import Slurm
from services.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MAKING_S = 240.0
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PATH": "/usr/bin:/bin"}
"""Of a machine that reaches no package index, and has no uv."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine whose index is a folder, which has all that a kernel needs."""
    folder = tmp_path_factory.mktemp("index")
    options = ["--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *REQUIREMENTS], check=True)
    return {**NO_INDEX, "PIP_FIND_LINKS": str(folder), "UV_OFFLINE": "1", "UV_FIND_LINKS": str(folder)}


@pytest.fixture(scope="module")
def with_uv(index: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That machine has uv too, which is several times faster."""
    uv, folder = Path(sys.executable).with_name("uv"), tmp_path_factory.mktemp("uv")
    if not uv.exists():
        pytest.skip("optional: no uv beside this Python: pip install uv")
    (folder / "bin").mkdir()
    (folder / "bin" / "uv").symlink_to(uv)
    return {**index, "PATH": f"{folder / 'bin'}:/usr/bin:/bin", "UV_CACHE_DIR": str(folder / "cache")}


@pytest.fixture
def bare(sandbox: Sandbox) -> str:
    return bare_python(sandbox.folder / "bare")


def far(sandbox: Sandbox, sshd: Sshd, python: str | None, env: dict[str, str], name: str = "t", **keys: object) -> Path:
    """Defines a target over ssh with that Python; its cache folder."""
    target = over_ssh(sandbox, sshd, python=python, **keys)
    assert isinstance(target["env"], dict)
    merged = {**target, "env": {**target["env"], **env}}
    define_target(sandbox, name, **{key: value for key, value in merged.items() if value is not None})
    return Path(str(target["cache_dir"]))


def environments(cache: Path) -> list[Path]:
    return [path for path in (cache / "environments").glob("*") if path.is_dir()]


def shows(*words: str) -> Callable[[Running], bool]:
    """Whether farcell's own line in the cell has said one of these."""
    return lambda running: any(
        word in message["content"].get("data", {}).get("text/plain", "") for _, message in running.messages for word in words
    )


def test_a_machine_without_a_network_gets_wheels_from_here(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """For its own Python, another version than the notebook's, and without pip or ensurepip there."""
    python = bare_python(sandbox.folder / "bare", another_minor(), without=("ensurepip",))
    cache = far(sandbox, sshd, python, NO_INDEX)
    cell = notebook.run("%%remote t\n1")
    assert cell.error is not None and cell.error.name == "NoEnvironment"
    assert f"{python} has no ipykernel, and nothing to install it with: no uv, pip or ensurepip." in cell.error.value
    assert "%remote env ship t sends what it takes from here." in cell.error.value
    assert environments(cache) == []
    far(sandbox, sshd, python, NO_INDEX, "u", environment="ship")  # unasked
    running = notebook.start("%%remote u\nimport sys, pynvml\nhere = tuple(sys.version_info[:2]), sys.prefix")
    running.until(shows("sending wheels to 'u': "), MAKING_S)
    running.finish(MAKING_S).check()
    version, prefix = notebook.value("here")
    assert version != sys.version_info[:2] and environments(cache) == [Path(prefix)]
    shipped = notebook.run("%remote env ship t").check().stdout
    assert shipped == f"Sent to 't': nothing, as nothing is lacking. Its kernels run with {prefix}/bin/python.\n"
    # a package of the notebook's, into the same environment
    refused = notebook.run("%remote env ship t iniconfig", answers=["n"])
    assert refused.reply["evalue"] == "Nothing was installed on 't'."
    shipped = notebook.run("%remote env ship t iniconfig", answers=["y"], timeout=MAKING_S).check().stdout
    assert shipped.startswith("Sent to 't': 1 of 2 wheels (")  # pip is there
    notebook.run("%%remote t\nimport iniconfig\nthere = iniconfig.__file__").check()
    assert notebook.value("there").startswith(prefix) and environments(cache) == [Path(prefix)]


@pytest.mark.parametrize("installers", [["uv"], ["uv", "pip"]], ids=["uv", "pip"])
def test_an_environment_is_made_once(
    installers: list[str], with_uv: dict[str, str], bare: str, sshd: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """What is being done shows in the cell; later sessions find it. Where uv reaches no index, pip may."""
    env = with_uv if installers == ["uv"] else {**with_uv, "UV_FIND_LINKS": ""}
    folder = str(sandbox.folder / "far" / 'Ada\'s "cache"')
    # as a container's command line, which stays around all
    cache = far(sandbox, sshd, f"env FC_CONTAINER=x {bare}", env, cache_dir=folder)
    running = notebook.start(
        "%%remote t\nimport os, sys, pynvml, xxhash, blake3, pip\nprefix = sys.prefix\nassert os.environ['FC_CONTAINER']"
    )
    running.until(shows("%|" if installers[-1] == "pip" else " on 't' ("), MAKING_S)  # a bar
    notice = f"'t': env FC_CONTAINER=x {bare} has no ipykernel, so an environment was made there for farcell."
    assert notice in running.finish(MAKING_S).check().stderr
    [made] = environments(cache)
    assert notebook.value("prefix") == str(made)
    (log,) = (cache / "environments").glob("*.log")
    commands = [line for line in log.read_text().splitlines() if line.startswith("$ ")]
    assert len(commands) == len(installers) and ("uv pip install" in commands[-1]) == (installers[-1] == "uv")
    notebook.run("%remote stop t").check()
    assert notebook.run("%%remote t\nprefix = sys.prefix, 2").check().stderr == ""
    assert notebook.value("prefix") == (str(made), 2) and environments(cache) == [made]


def test_where_no_installer_reaches_an_index_the_words_of_all_are_told(
    with_uv: dict[str, str], bare: str, sshd: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """And the command that does without one."""
    cache = far(sandbox, sshd, bare, {**with_uv, "UV_FIND_LINKS": "", "PIP_FIND_LINKS": ""})
    cell = notebook.run("%%remote t\n1", timeout=MAKING_S)
    assert cell.error is not None
    assert "has no ipykernel, and an environment that has it could not be made.\nuv ended with exit code" in cell.error.value
    assert "No matching distribution found for " in cell.error.value
    assert "%remote env ship t sends what it takes from here." in cell.error.value
    assert environments(cache) == []


def test_two_that_start_at_once_make_one(with_uv: dict[str, str], bare: str, sshd: Sshd, sandbox: Sandbox) -> None:
    cache = far(sandbox, sshd, bare, with_uv)
    with Notebook(sandbox) as first, Notebook(sandbox) as second:
        for notebook in (first, second):
            notebook.run("%load_ext farcell").check()
        cells = [notebook.start("%%remote t\nimport sys\nprefix = sys.prefix") for notebook in (first, second)]
        for cell in cells:
            cell.finish(MAKING_S).check()
        prefixes = {notebook.value("prefix") for notebook in (first, second)}
    assert [Path(prefix) for prefix in prefixes] == environments(cache)


def test_interrupted_half_way_leaves_nothing(
    index: dict[str, str], with_uv: dict[str, str], bare: str, sshd: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """Nor does a maker that was killed keep the next one from doing it."""
    cache = far(sandbox, sshd, bare, index)
    for code in ("%remote env ship t", "%%remote t\n1"):
        running = notebook.start(code)
        running.until(shows("collecting ", "installing "), MAKING_S)
        notebook.interrupt()
        error = running.finish().error
        assert error is not None and error.name == "KeyboardInterrupt"
    until(lambda: not environments(cache), 30, "an empty cache")
    running = notebook.start("%%remote t\n1")
    running.until(shows("collecting ", "installing "), MAKING_S)
    (maker,) = (each for each in psutil.process_iter(["cmdline"]) if _makes(each.info["cmdline"] or [], cache))
    left = [*maker.children(recursive=True)]
    maker.send_signal(signal.SIGKILL)
    assert running.finish(MAKING_S).error is not None
    for process in left:  # what it had started ends when it next says something
        process.kill()
    assert len(environments(cache)) == 1
    far(sandbox, sshd, bare, with_uv, "u")
    notebook.run("%%remote u\nimport sys\nprefix = sys.prefix", timeout=MAKING_S).check()
    assert environments(cache) == [Path(notebook.value("prefix"))]


def test_a_full_cache_folder_is_told_and_nothing_half_is_left(
    with_uv: dict[str, str], bare: str, sshd: Sshd, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an environment, and of wheels that are sent."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, with_uv[name])
    with small_disk(sandbox.folder / "small", "size=8m") as disk, Notebook(sandbox) as notebook:
        notebook.run("%load_ext farcell").check()
        far(sandbox, sshd, bare, {**with_uv, "UV_LINK_MODE": "copy"}, cache_dir=str(disk))
        cell = notebook.run("%%remote t\n1", timeout=MAKING_S)
        assert cell.error is not None and f"there is no room below {disk} (" in cell.error.value
        assert "set cache_dir of the target to a folder on another disk" in cell.error.value
        assert environments(disk) == []
        sent = notebook.run("%remote env ship t", timeout=MAKING_S)
        assert f"there is no room below {disk} (No space left on device)" in sent.reply["evalue"]
        assert not [path for path in disk.rglob("*") if path.suffix == ".part" or path.parent.name == "shipped"]


def test_a_cache_folder_without_programs_is_told(
    with_uv: dict[str, str], bare: str, sshd: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """As some clusters mount what users can write: the packages' libraries cannot be loaded from there."""
    with small_disk(sandbox.folder / "small", "size=300m,noexec") as disk:
        far(sandbox, sshd, bare, {**with_uv, "UV_LINK_MODE": "copy"}, cache_dir=str(disk))
        cell = notebook.run("%%remote t\n1", timeout=MAKING_S)
        assert cell.error is not None and f"it does not work below {disk}." in cell.error.value
        assert "mounted noexec, it seems: set cache_dir of the target to another one." in cell.error.value
        assert environments(disk) == []


def test_an_environment_sees_the_pythons_own_packages_when_asked(
    with_uv: dict[str, str], sshd: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """Also where that Python is a venv's, whose packages no other venv would see: torch need not be installed again."""
    venv = sandbox.folder / "own"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "fc_torch.py").write_text("VERSION = '2.9'\n")
    far(sandbox, sshd, str(venv / "bin" / "python"), with_uv)
    cell = notebook.run("%%remote t\nimport fc_torch", timeout=MAKING_S)
    assert cell.error is not None and cell.error.name == "ModuleNotFoundError"
    far(sandbox, sshd, str(venv / "bin" / "python"), with_uv, "u", system_site_packages=True)
    assert notebook.run("%%remote u\nimport fc_torch\nfc_torch.VERSION", timeout=MAKING_S).check().result == "'2.9'"


def test_a_jobs_environment_is_made_where_the_job_is_submitted(
    with_uv: dict[str, str], bare: str, slurm: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """And before: compute nodes reach no index, and time in a job costs."""
    keys = over_slurm(sandbox, login_node, python=bare)
    define_target(sandbox, "t", **{**keys, "env": {**keys["env"], **with_uv}})  # type: ignore[dict-item]
    running = notebook.start("%%remote t\nimport os, sys\nthere = os.environ['SLURM_JOB_ID'], sys.prefix")
    running.until(shows(" on 't' ("), MAKING_S)
    running.finish(MAKING_S).check()
    job, prefix = notebook.value("there")
    [made] = environments(sandbox.folder / "far" / "cache")
    assert prefix == str(made)
    notebook.close()
    until(lambda: not slurm.run("squeue", "--noheader", f"--jobs={job}").stdout, 30, "the job's end")


def test_a_python_that_is_new_enough_is_looked_for(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """Where the target names none: clusters have an old `python3` and others beside it. A named one is not replaced."""
    old, folder = too_old(), sandbox.folder / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(old)
    (folder / "python3.11").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python3.11").chmod(0o755)
    for name in ("sh", "mkdir", "head", "wc", "tr", "rm", "mv", "id", "cat", "env"):
        (folder / name).symlink_to(str(shutil.which(name)))
    far(sandbox, sshd, None, {"PATH": str(folder)})
    assert notebook.run("%%remote t\n6 * 7").check().result == "42"
    far(sandbox, sshd, old, {}, "u")
    cell = notebook.run("%%remote u\n1")
    assert (
        cell.error is not None
        and f"{old} is older than Python 3.10. Set python of the target to a newer one." in cell.error.value
    )


def small_disk(folder: Path, options: str) -> Disk:
    if os.geteuid() != 0:
        pytest.skip("optional: a disk of its own needs root: run the tests as root")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"optional: no disk can be mounted here: {done.stderr.strip()}")
    return Disk(folder)


class Disk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Path:
        return self._folder

    def __exit__(self, *exception: object) -> None:
        subprocess.run(["umount", "--lazy", str(self._folder)], check=True)


def _makes(command: list[str], cache: Path) -> bool:
    return "environment" in command and str(cache) in command
