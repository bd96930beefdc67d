"""Pythons as other machines have them: bare ones, without any package, of this version and of others."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call

ROOT = Path(__file__).parents[1]


def bare_python(folder: Path, real: str = sys.executable, without: tuple[str, ...] = ()) -> str:
    """A Python with the standard library of a real one, less the packages in `without`, and no packages of its own."""
    prefix, version = _ask(real, "import sys; print(sys.base_prefix); print('python%d.%d' % sys.version_info[:2])")
    library = folder / "lib" / version
    library.mkdir(parents=True)
    (folder / "bin").mkdir()
    shutil.copy2(Path(prefix, "bin", version), folder / "bin" / "python3")
    for entry in Path(prefix, "lib", version).iterdir():
        if entry.name not in ("site-packages", "dist-packages", *without):
            (library / entry.name).symlink_to(entry)
    (library / "site-packages").mkdir()
    for shared in Path(prefix, "lib").glob("libpython*.so*"):  # found beside the program, by some
        (folder / "lib" / shared.name).symlink_to(shared)
    made = str(folder / "bin" / "python3")
    if _ask(made, "import sys; print(sys.prefix)") != [str(folder)]:
        pytest.skip("optional: a copy of this Python does not find its own library")
    return made


def environment(name: str, real: str, wanted: tuple[str, ...]) -> Path:
    """A Python of an environment with these packages and what they need, nothing of farcell's: made once, under a lock."""
    folder = ROOT / ".venvs" / name
    python = folder / "bin" / "python"
    recipe = "\n".join([*_ask(real, "import sys; print(sys.version)"), str(folder), *wanted])
    made = folder / "recipe"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != recipe:
            shutil.rmtree(folder, ignore_errors=True)
            call(real, "-m", "venv", "--without-pip", folder, cwd=ROOT)
            # A Debian without python3-venv has no pip of its own, and an older pip of ours does not run on a newer Python.
            pip = (python, "-m", "pip") if _has_ensurepip(python) else (sys.executable, "-m", "pip", "--python", python)
            call(*map(str, pip), "install", "--quiet", "--disable-pip-version-check", *wanted, cwd=ROOT)
            made.write_text(recipe)
    return python


def _has_ensurepip(python: Path) -> bool:
    return subprocess.run([python, "-m", "ensurepip"], capture_output=True).returncode == 0


def another_minor(newer: bool = False) -> str:
    """A Python of another minor version that farcell runs on: the oldest, or with `newer` the next one, if there is any. The test
    is skipped where this machine has none."""
    here = sys.version_info[:2]
    others = [(tuple(map(int, version.split("."))), executable) for version, executable in _known()]
    others = [each for each in others if each[0] != here]
    if not others:
        pytest.skip("optional: only one Python of 3.10 to 3.13 is on this machine")
    return min(others, key=lambda each: (each[0] < here, each[0]) if newer else each[0])[1]


def too_old() -> str:
    """A Python that farcell does not run on; the test is skipped where this machine has none."""
    named = [
        shutil.which("python3.9"),
        shutil.which("python3.8"),
        *map(str, Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python3")),
    ]
    for candidate in filter(None, named):
        if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:  # a pyenv shim may lead nowhere
            return candidate
    pytest.skip("optional: no Python before 3.10 is on this machine")


def _known() -> list[tuple[str, str]]:
    said = subprocess.run(
        [sys.executable, ROOT / "tools" / "environment.py", "--list"], capture_output=True, text=True, check=True
    )
    pairs = (line.split(" ", 1) for line in said.stdout.splitlines())
    return [(version, executable) for version, executable in pairs]


def _ask(python: str, code: str) -> list[str]:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
