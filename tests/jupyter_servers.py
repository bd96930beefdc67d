"""A real Jupyter Server with the farcell extension: token, loopback, a free port, folders of its own.

with JupyterServer() as server:
    server.get("snapshot").json()["sessions"]
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import websocket
from hostclient import LaunchedHost, launched
from sandbox import Sandbox

START_S = 60.0
STOP_S = 30.0
EVENT_S = 20.0
CONFIG = Path(__file__).parent.parent / "jupyter-config" / "server-config" / "farcell.json"


class JupyterServer:
    """`restart` puts another process in its place, at another port."""

    def __init__(self, base_url: str = "/", *options: str, **variables: str) -> None:
        self.box = Sandbox()
        self.box.ledger = self.box.folder / "ledger.sqlite"
        self.base_url = base_url
        self._variables = variables
        self.token = secrets.token_hex(16)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> JupyterServer:
        place = self.box.jupyter_config / "jupyter_server_config.d"
        place.mkdir()
        shutil.copy(CONFIG, place)
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        left = self.box.close()
        assert not left, "left behind:\n  " + "\n  ".join(left)

    def restart(self) -> None:
        self._stop()
        self._start()

    @property
    def log(self) -> str:
        return (self.box.folder / "server.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # -- requests

    def ask(self, method: str, path: str, *, token: str | None = "", **more: Any) -> httpx.Response:
        """Below farcell/api/; `token` None sends none."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"token {token or self.token}"
        return httpx.request(method, f"{self.url}farcell/api/{path}", headers=headers, timeout=90, trust_env=False, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask("POST", path, **({} if body is None else {"json": body}), **more)

    def snapshot(self) -> Any:
        answer = self.get("snapshot")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def watch(self, page: str = "p", within_s: float = 60.0) -> Any:
        answer = self.post("watch", {"page": page, "within_s": within_s})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, is_so: Callable[[Any], Any], timeout_s: float = EVENT_S) -> Any:
        """The first snapshot that is so; the test fails with the last one when there is none in time."""
        deadline = time.monotonic() + timeout_s
        while not is_so(snapshot := self.snapshot()):
            assert time.monotonic() < deadline, json.dumps(snapshot, indent=1)[:6000]
            time.sleep(0.05)
        return snapshot

    @contextmanager
    def events(self) -> Iterator[Events]:
        """The event bus, as a page listens to it."""
        url = self.url.replace("http", "ws", 1) + "api/events/subscribe"
        stream = websocket.create_connection(url, timeout=EVENT_S, header=[f"Authorization: token {self.token}"])
        try:
            yield Events(stream)
        finally:
            stream.close()

    @contextmanager
    def host(self, *arguments: str) -> Iterator[LaunchedHost]:
        """A session that another process has begun."""
        with launched(self.box.runtime, *arguments, env=self.box.environment()) as host:
            yield host

    # -- life

    def _start(self) -> None:
        port = _free_port()
        (self.box.folder / "notebooks").mkdir(exist_ok=True)
        with open(self.box.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "jupyter", "server",
                    f"--ServerApp.root_dir={self.box.folder / 'notebooks'}",
                    f"--ServerApp.port={port}",
                    f"--ServerApp.base_url={self.base_url}",
                    "--ServerApp.ip=127.0.0.1",
                    "--ServerApp.open_browser=False",
                    "--ServerApp.allow_root=True",
                    "--ServerApp.allow_unauthenticated_access=False",
                    *self._options,
                ],
                env={**self.box.environment(), "JUPYTER_TOKEN": self.token, **self._variables},
                cwd=self.box.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.url = self._wait_for_url()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the server did not end:\n{self.log[-3000:]}") from None

    def _wait_for_url(self) -> str:
        """The server writes a file that says where it is once it listens there."""
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for file in (self.box.folder / "jr").glob(f"jpserver-{self._process.pid}.json"):
                try:
                    return str(json.loads(file.read_text())["url"])
                except ValueError:  # half written
                    continue
            time.sleep(0.05)
        self._process.kill()
        raise AssertionError(f"the server did not start:\n{self.log[-3000:]}")


class Events:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def next(self) -> Any:
        """The next one of farcell's."""
        while True:
            found = json.loads(self._stream.recv())
            if found["schema_id"].startswith("https://github.com/farcell/"):
                return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
