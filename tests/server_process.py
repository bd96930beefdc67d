"""The process of a real Jupyter server: loopback, a free port, a token, and the folders of a sandbox."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from ports import TRIES, free_ports, is_taken
from sandbox import Sandbox

START_S = 60.0
STOP_S = 30.0


class ServerProcess:
    """`front_end`: `server`, `lab` or `notebook`. `variables`: more of its environment."""

    def __init__(self, front_end: str, box: Sandbox, *options: str, variables: Mapping[str, str] | None = None) -> None:
        self.front_end, self.box = front_end, box
        self.folder = box.folder / "notebooks"
        """Where notebooks lie."""
        self.token = secrets.token_hex(16)
        self.port: int | None = None
        self.url = ""
        self._options, self._variables = options, dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file = box.folder / "server.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def start(self) -> None:
        """At the port that it had before, if it had one; at another one if that is taken."""
        self.folder.mkdir(exist_ok=True)
        for _ in range(TRIES):
            before = len(self.log) if self._log_file.exists() else 0
            if self.port is None:
                (self.port,) = free_ports(1)
            if self._begin(self.port):
                return
            self.port = None
            if not is_taken(self.log[before:]):
                break
        raise AssertionError(f"the {self.front_end} server did not start:\n{self.log[-3000:]}")

    def end(self) -> None:
        """By a signal; a server that does not heed it fails the test."""
        assert self._process is not None
        self._process.terminate()
        if not self._is_over():
            raise AssertionError(f"the {self.front_end} server did not end:\n{self.log[-3000:]}")

    def shut_down(self) -> None:
        """With all kernels, as by the front end's menu."""
        assert self._process is not None
        try:
            self.jupyter("POST", "api/shutdown")
        except OSError:
            self._process.terminate()
        self._is_over()

    def jupyter(self, method: str, path: str, body: Any = None) -> Any:
        """Below the server's base URL; what it answers, None for nothing."""
        headers = {"Authorization": f"token {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, method=method, headers=headers, data=data)
        with urllib.request.urlopen(request, timeout=STOP_S) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def _begin(self, port: int) -> bool:
        """Whether it answers, at the URL that a file tells a little before it listens; False if it ends before."""
        options = [
            f"--ServerApp.root_dir={self.folder}",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.open_browser=False",
            "--ServerApp.allow_root=True",
        ]
        with open(self._log_file, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyter", self.front_end, *options, *self._options],
                env={**self.box.environment(), "JUPYTER_TOKEN": self.token, **self._variables},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        file = self.box.folder / "jr" / f"jpserver-{self._process.pid}.json"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if file.exists():
                    self.url = str(json.loads(file.read_text())["url"])
                    self.jupyter("GET", "api/status")
                    return True
            except (ValueError, OSError):  # half written; or it is not listening yet
                pass
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        return False

    def _is_over(self) -> bool:
        """Whether it has ended by itself; else it is killed."""
        assert self._process is not None
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True
