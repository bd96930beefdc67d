"""Builds and fresh environments, made once for all tests of this folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the repository holds and what is built in it once, in a folder with spaces in its name."""
    folder = tmp_path_factory.mktemp("checkout") / "a folder with spaces"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if names.returncode != 0:
        pytest.skip("optional: not a git checkout")
    for name in filter(None, names.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Built by the install that runs these tests; test_labextension.py builds it anew.
    built = Path("jupyter_ext", "farcell", "labextension")
    if (ROOT / built).is_dir():
        shutil.copytree(ROOT / built, folder / built)
    return folder


@pytest.fixture(scope="session")
def built(checkout: Path) -> dict[str, Path]:
    """The sdist, and the wheel built from it."""
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", "out", cwd=checkout)
    [sdist], [wheel] = (checkout / "out").glob("*.tar.gz"), (checkout / "out").glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.fixture(scope="session")
def installed_wheel(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds the wheel and its dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "venv", "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", built["wheel"], cwd=folder)
    return python
