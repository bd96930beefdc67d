"""A real Jupyter Server with the farcell extension: token, loopback, a free port, folders of its own.

with JupyterServer() as server:
    server.get("snapshot").json()["sessions"]
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import websocket
from hostclient import LaunchedHost, launched
from sandbox import Sandbox
from server_process import ServerProcess

EVENT_S = 20.0
CONFIG = Path(__file__).parent.parent / "jupyter-config" / "server-config" / "farcell.json"


class JupyterServer(ServerProcess):
    """`restart` puts another process in its place, at another port."""

    def __init__(self, base_url: str = "/", *options: str, **variables: str) -> None:
        box = Sandbox()
        box.ledger = box.folder / "ledger.sqlite"
        own = (f"--ServerApp.base_url={base_url}", "--ServerApp.allow_unauthenticated_access=False")
        super().__init__("server", box, *own, *options, variables=variables)
        self.base_url = base_url

    def __enter__(self) -> JupyterServer:
        place = self.box.jupyter_config / "jupyter_server_config.d"
        place.mkdir()
        shutil.copy(CONFIG, place)
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()
        left = self.box.close()
        assert not left, "left behind:\n  " + "\n  ".join(left)

    def restart(self) -> None:
        self.end()
        self.port = None
        self.start()

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


class Events:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def next(self) -> Any:
        """The next one of farcell's."""
        while True:
            found = json.loads(self._stream.recv())
            if found["schema_id"].startswith("https://github.com/farcell/"):
                return found
