"""A notebook and a target, in words a test can be read in."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass

from notebooks import Cell, Notebook, Running
from sandbox import Sandbox
from services.sshd import Sshd


@dataclass
class Place:
    """A notebook with farcell, and the target its cells are sent to."""

    notebook: Notebook
    target: str
    way: str

    def far(self, code: str, options: str = "", **request: object) -> Cell:
        """Runs a cell on the target, to its end."""
        return self.notebook.run(f"%%remote {self.target} {options}\n{code}", **request)  # type: ignore[arg-type]

    def start(self, code: str, options: str = "") -> Running:
        return self.notebook.start(f"%%remote {self.target} {options}\n{code}")

    def here(self, code: str) -> Cell:
        """Runs a cell in the notebook's own kernel."""
        return self.notebook.run(code).check()


def define_target(box: Sandbox, name: str, **keys: object) -> None:
    """One more table in the sandbox's targets.toml."""
    folder = box.jupyter_config / "farcell"
    folder.mkdir(exist_ok=True)
    with open(folder / "targets.toml", "a") as file:
        file.write(f"[targets.{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items()))


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def over_ssh(box: Sandbox, sshd: Sshd, **keys: object) -> dict[str, object]:
    """This machine once more, through its SSH server; what it leaves would lie in the sandbox. `keys` of the target come last."""
    return {
        "backend": "ssh",
        "host": sshd.root,
        "ssh": shlex.join(sshd.client),
        "ssh_persist_s": 2.0,
        "python": sys.executable,
        "cache_dir": str(box.folder / "far" / "cache"),
        "env": {"FARCELL_RUNTIME_DIR": str(box.folder / "far" / "r"), "TMPDIR": str(box.temporary), **_path()},
        **keys,
    }


def _path() -> dict[str, str]:
    """Where the tests are run with one, the far kernel has the code under test, too, not what is installed in this Python."""
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": path} if path else {}


def over_slurm(box: Sandbox, login_node: Sshd, **keys: object) -> dict[str, object]:
    """Jobs of a cluster, submitted through its login node; what they leave would lie in the sandbox. `keys` come last."""
    return over_ssh(box, login_node) | {"backend": "slurm", "state_dir": str(box.folder / "far" / "state"), "cpus": 1} | keys
