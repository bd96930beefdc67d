"""A real JupyterLab or Notebook 7 server: token, loopback, a free port, and folders of its own."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from sandbox import Sandbox

START_S = 60.0
STOP_S = 30.0

# A fresh installation asks whether it may fetch news, and then does.
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"}}


class Server:
    """`front_end` is "lab" or "notebook"; use as a context manager.

    `variables`: more of its environment. `preferences`: of the front end's settings those that are not as usual, by plugin.
    """

    def __init__(
        self,
        front_end: str,
        *,
        has_ledger: bool = False,
        variables: Mapping[str, str] | None = None,
        preferences: Mapping[str, Any] | None = None,
    ) -> None:
        self.front_end = front_end
        self.box = Sandbox()
        """Its folders, which end with it."""
        if has_ledger:
            self.box.ledger = self.box.folder / "ledger.sqlite"
        self._variables = dict(variables or {})
        self._preferences = {**SETTINGS, **(preferences or {})}
        self.folder = self.box.folder / "notebooks"
        """Where notebooks lie."""
        self._runtime = self.box.folder / "jr"
        self._token = secrets.token_hex(16)
        self._count = 0
        self._port = _free_port()

    def __enter__(self) -> Server:
        self.folder.mkdir()
        settings = self.box.jupyter_config / "labconfig"
        settings.mkdir()
        (settings / "default_setting_overrides.json").write_text(json.dumps(self._preferences))
        options = [
            f"--ServerApp.root_dir={self.folder}",
            f"--ServerApp.port={self._port}",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.open_browser=False",
            "--ServerApp.allow_root=True",
            # As for tests/notebooks.py: a kernel host says good-bye to its remote kernel first.
            "--KernelManager.shutdown_wait_time=8",
            "--expose-app-in-browser",
        ]
        if self.front_end == "lab":
            options.append(f"--LabApp.workspaces_dir={self.box.folder / 'workspaces'}")
        self._command = [sys.executable, "-m", "jupyter", self.front_end, *options]
        self.start()
        return self

    def start(self) -> None:
        """Also again, after `stop`: at the same address, with the same token."""
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**self.box.environment(), "JUPYTER_TOKEN": self._token, **self._variables},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._url = self._wait_for_url()

    def stop(self) -> None:
        """With all kernels."""
        try:
            self._ask("POST", "api/shutdown")
        except OSError:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __exit__(self, *exception: object) -> None:
        self.stop()
        left = self.box.close()
        assert not left, "left behind:\n  " + "\n  ".join(left)

    @property
    def log(self) -> Path:
        return self.box.folder / "server.log"

    @property
    def ledger(self) -> Path:
        return self.box.ledger

    def environment(self) -> dict[str, str]:
        """For processes that live as long as this server."""
        return self.box.environment()

    def write_targets(self, text: str) -> Path:
        """This user's own targets.toml."""
        file = self.box.jupyter_config / "farcell" / "targets.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    def new_notebook(self) -> str:
        """With one empty cell; returns its file's name."""
        self._count += 1
        file = f"notebook-{self._count}.ipynb"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        nbformat.write(notebook, self.folder / file)
        return file

    def add(self, notebook: Path) -> str:
        """A copy of a notebook; returns its file's name."""
        shutil.copy(notebook, self.folder)
        return notebook.name

    def read(self, file: str) -> Any:
        """The notebook as it is saved."""
        return nbformat.read(self.folder / file, as_version=4)

    def address(self, file: str) -> str:
        # In JupyterLab each notebook has a workspace of its own, or it would open with the tabs of the one before.
        place = f"lab/workspaces/{file.removesuffix('.ipynb')}/tree" if self.front_end == "lab" else "notebooks"
        return f"{self._url}{place}/{file}?token={self._token}"

    def end_kernels(self) -> None:
        """An explicit shutdown of each, as by the front end's list of running kernels."""
        for session in self._ask("GET", "api/sessions"):
            self._ask("DELETE", f"api/sessions/{session['id']}")

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self._url + path, method=method, headers={"Authorization": f"token {self._token}"})
        with urllib.request.urlopen(request, timeout=STOP_S) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def _wait_for_url(self) -> str:
        """The server writes a file that says where it is once it listens there."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                file = self._runtime / f"jpserver-{self._process.pid}.json"
                if file.exists():
                    return str(json.loads(file.read_text())["url"])
            except ValueError:  # half written
                pass
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        self._process.kill()
        raise AssertionError(f"the {self.front_end} server did not start:\n{self.log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
