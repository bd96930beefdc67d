"""What there is on this machine to install packages with: uv, pip, or the pip that Python's own ensurepip keeps as a wheel."""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

_OTHER_PYTHONS = (22, 3)
"""The first pip that installs for another Python (`--python`, pip's news for 22.3)."""
_QUIET = ("--disable-pip-version-check", "--no-input", "--no-warn-script-location", "--progress-bar", "off", "--prefer-binary")
_PIP = ("install", *_QUIET, "--no-compile")
"""Compiling takes as long as all the rest, and Python compiles what it imports."""


@dataclass(frozen=True)
class Installer:
    """`before` and `after` stand around the Python that is installed for."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...] = ()

    def command(self, python: str, packages: Sequence[str], options: Sequence[str] = ()) -> list[str]:
        """Installs these requirements or wheel files for that Python."""
        return [*self.before, python, *self.after, *options, *packages]


def uv(program: str) -> Installer:
    return Installer("uv", (program, "pip", "install", "--no-progress", "--python"))


def pip_of(python: str) -> Installer:
    return Installer("pip", (python, "-m", "pip", "--python"), _PIP)


def pip_in(wheel: str) -> Installer:
    """pip runs out of its own wheel, as ensurepip has it do, in the very Python that is installed for."""
    return Installer(f"pip {'.'.join(map(str, version_of(wheel)))}", (), (f"{wheel}/pip", *_PIP))


def found() -> list[Installer]:
    """In the order in which they are tried: one may reach an index where the other does not (pip.conf is not uv's)."""
    places = (os.path.expanduser(f"~/{folder}/uv") for folder in (".local/bin", ".cargo/bin"))
    program = shutil.which("uv") or _executable(*places)
    pip = _pip_version()
    wheel = bundled_pip()
    installers = [uv(program)] if program else []
    if pip is not None and pip >= _OTHER_PYTHONS:
        installers.append(pip_of(sys.executable))
    elif wheel is not None:
        installers.append(pip_in(wheel))
    return installers


def _executable(*paths: str) -> str | None:
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _pip_version() -> tuple[int, ...] | None:
    if importlib.util.find_spec("pip") is None:
        return None
    try:
        return tuple(int(part) for part in re.findall(r"\d+", metadata.version("pip"))[:2])
    except metadata.PackageNotFoundError:
        return None


def bundled_pip() -> str | None:
    """The wheel that ensurepip would install: its own, or a distribution's (sysconfig's WHEEL_PKG_DIR)."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    folders = [os.path.join(os.path.dirname(spec.origin), "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR")]
    wheels = [wheel for folder in folders if folder for wheel in glob.glob(os.path.join(glob.escape(folder), "pip-*.whl"))]
    return max(wheels, key=version_of, default=None)


def version_of(wheel: str) -> tuple[int, ...]:
    """By its name or path."""
    return tuple(int(part) for part in re.findall(r"\d+", os.path.basename(wheel).split("-")[1]))
