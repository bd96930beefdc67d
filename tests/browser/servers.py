"""A real JupyterLab or Notebook 7 server, and what lies in its folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from sandbox import Sandbox
from server_process import ServerProcess

# A fresh installation asks whether it may fetch news, and then does.
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"}}
# Of jupyter-collaboration, which is on wherever it is installed.
COLLABORATION = ("@jupyter/collaboration-extension", "@jupyter/docprovider-extension")
COLLABORATION_SERVER = ("jupyter_server_ydoc", "jupyter_server_fileid")


class Server(ServerProcess):
    """`front_end` is "lab" or "notebook"; use as a context manager.

    `variables`: more of its environment. `preferences`: of the front end's settings those that are not as usual, by plugin.
    `collaborates`: with jupyter-collaboration, so that all its pages edit one notebook together.
    """

    def __init__(
        self,
        front_end: str,
        *,
        has_ledger: bool = False,
        collaborates: bool = False,
        variables: Mapping[str, str] | None = None,
        preferences: Mapping[str, Any] | None = None,
    ) -> None:
        box = Sandbox()
        if has_ledger:
            box.ledger = box.folder / "ledger.sqlite"
        self.collaborates = collaborates
        self._preferences = {**SETTINGS, **(preferences or {})}
        options = [
            # As for tests/notebooks.py: a kernel host says good-bye to its remote kernel first.
            "--KernelManager.shutdown_wait_time=8",
            "--expose-app-in-browser",
        ]
        if front_end == "lab":
            options.append(f"--LabApp.workspaces_dir={box.folder / 'workspaces'}")
        super().__init__(front_end, box, *options, variables=variables)
        self._count = 0

    def __enter__(self) -> Server:
        settings = self.box.jupyter_config / "labconfig"
        settings.mkdir()
        (settings / "default_setting_overrides.json").write_text(json.dumps(self._preferences))
        if not self.collaborates:
            (settings / "page_config.json").write_text(json.dumps({"disabledExtensions": dict.fromkeys(COLLABORATION, True)}))
            alone = {"ServerApp": {"jpserver_extensions": dict.fromkeys(COLLABORATION_SERVER, False)}}
            (self.box.jupyter_config / "jupyter_server_config.json").write_text(json.dumps(alone))
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shut_down()
        left = self.box.close()
        assert not left, "left behind:\n  " + "\n  ".join(left)

    @property
    def ledger(self) -> Path:
        return self.box.ledger

    @property
    def home(self) -> str:
        """Without a notebook; in JupyterLab, too, with a workspace of its own."""
        return f"{self.url}{'lab/workspaces/home' if self.front_end == 'lab' else 'tree'}?token={self.token}"

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
        return f"{self.url}{place}/{file}?token={self.token}"

    def end_kernels(self) -> None:
        """An explicit shutdown of each, as by the front end's list of running kernels."""
        for session in self.jupyter("GET", "api/sessions"):
            self.jupyter("DELETE", f"api/sessions/{session['id']}")
