"""The packages that are installed for the remote kernel's Python: which versions, and installing others."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any


def describe(distributions: Iterable[str]) -> dict[str, Any]:
    """{python, prefix, versions: {distribution: version, or None where it is not installed}}."""
    importlib.invalidate_caches()
    versions = {name: _version(name) for name in distributions}
    return {"python": platform.python_version(), "prefix": sys.prefix, "versions": versions}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installer() -> list[str]:
    """The command that installs into this Python's environment: uv where there is one, else pip."""
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    raise RuntimeError(f"Neither uv nor pip is there for {sys.executable}. Install one of them, or the packages by another way.")


def install(requirements: Sequence[str]) -> None:
    """Installs these, showing what the installer prints as it comes; raises RuntimeError when it fails."""
    command = [*installer(), *requirements]
    print("$", *command, flush=True)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
        except BaseException:
            process.terminate()
            raise
    importlib.invalidate_caches()
    if process.returncode:
        raise RuntimeError(f"The installer ended with exit code {process.returncode}; its own words are above.")
