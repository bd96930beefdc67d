"""Behind a JupyterHub with its proxy: the user's server is below /user/NAME/, and the hub's own login and tokens hold."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import websocket
from hostclient import launched
from jupyter_servers import CONFIG
from ports import TRIES, free_ports, is_taken
from sandbox import Sandbox

START_S = 90.0
USER = "ada"


class Hub:
    """One user's server, started by the hub; `client` has a token of a service that may use it."""

    def __init__(self, box: Sandbox, program: str, single_user: str, proxy: str) -> None:
        self.box, self._program = box, program
        self._token, self.password = secrets.token_hex(16), secrets.token_hex(8)
        port, hub_port, api_port = free_ports(3)
        self.url = f"http://127.0.0.1:{port}/hubbed/"
        self.api = f"{self.url}user/{USER}/farcell/api/"
        self.client = httpx.Client(headers={"Authorization": f"token {self._token}"}, trust_env=False, timeout=60)
        place = box.folder / "enabled" / "jupyter_server_config.d"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(CONFIG, place)
        variables = {**box.variables(), "JUPYTER_CONFIG_PATH": str(place.parent), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        role = {"name": "tester-role", "services": ["tester"], "scopes": ["admin:users", "admin:servers", "access:servers"]}
        settings = {
            "JupyterHub.bind_url": self.url.rstrip("/"),
            "JupyterHub.hub_port": hub_port,
            "JupyterHub.authenticator_class": "shared-password",
            "JupyterHub.spawner_class": "simple",
            "JupyterHub.db_url": f"sqlite:///{box.folder / 'hub.sqlite'}",
            "JupyterHub.cookie_secret_file": str(box.folder / "cookie_secret"),
            "JupyterHub.services": [{"name": "tester", "api_token": self._token}],
            "JupyterHub.load_roles": [role],
            "SharedPasswordAuthenticator.user_password": self.password,
            "Authenticator.allow_all": True,
            "SimpleLocalProcessSpawner.home_dir_template": str(box.folder / "home" / "{username}"),
            "Spawner.cmd": [single_user],
            "Spawner.args": ["--allow-root"],
            "Spawner.environment": variables,
            "ConfigurableHTTPProxy.command": [proxy],
            "ConfigurableHTTPProxy.api_url": f"http://127.0.0.1:{api_port}",
        }
        lines = ["c = get_config()", *(f"c.{name} = {value!r}" for name, value in settings.items())]
        (box.folder / "hub.py").write_text("\n".join(lines))

    def __enter__(self) -> Hub:
        with open(self.box.folder / "hub.log", "wb") as log:
            self._process = subprocess.Popen(
                [self._program, "-f", str(self.box.folder / "hub.py")],
                cwd=self.box.folder,
                env=self.box.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.until(lambda: self.client.get(f"{self.url}hub/api/").is_success)
            self.client.post(f"{self.url}hub/api/users/{USER}")
            self.client.post(f"{self.url}hub/api/users/{USER}/server")
            self.until(lambda: self.client.get(f"{self.api}snapshot").is_success)
        except BaseException:
            self._process.terminate()
            self._process.wait(60)
            self.client.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.delete(f"{self.url}hub/api/users/{USER}/server")
        self._process.terminate()
        self._process.wait(60)
        self.client.close()

    @property
    def log(self) -> str:
        return (self.box.folder / "hub.log").read_text(errors="replace")

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                if is_so():
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline and self._process.poll() is None, self.log[-3000:]
            time.sleep(0.2)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    programs = [shutil.which(name, path=places) for name in ("jupyterhub", "jupyterhub-singleuser", "configurable-http-proxy")]
    if not all(programs):
        pytest.skip("optional: there is no hub here: npm install -g configurable-http-proxy")
    box = Sandbox()
    with contextlib.ExitStack() as stack:
        for tries_left in reversed(range(TRIES)):
            hub = Hub(box, *map(str, programs))
            try:
                stack.enter_context(hub)
                break
            except AssertionError:
                if not tries_left or not is_taken(hub.log):
                    raise
        yield hub
    left = box.close()
    assert not left, "left behind:\n  " + "\n  ".join(left)


def test_a_user_s_server_is_asked_through_the_hub_s_proxy(hub: Hub) -> None:
    """With a token of the hub's; without one nothing is told. The document names the whole path."""
    assert httpx.get(f"{hub.api}snapshot", trust_env=False).status_code == 403
    assert hub.client.get(f"{hub.api}snapshot").json()["watching"] == 0
    assert hub.client.get(f"{hub.api}openapi.json").json()["servers"] == [{"url": f"/hubbed/user/{USER}/farcell/api"}]


def test_changes_are_pushed_through_the_hub_s_proxy(hub: Hub) -> None:
    stream = websocket.create_connection(
        f"{hub.url.replace('http', 'ws', 1)}user/{USER}/api/events/subscribe",
        timeout=30,
        header=[f"Authorization: {hub.client.headers['Authorization']}"],
    )
    try:
        watch = hub.client.post(f"{hub.api}watch", json={"page": "p", "within_s": 60}).json()
        with launched(Path(hub.box.runtime), "--target", "t", env=hub.box.environment()) as host:
            event = json.loads(stream.recv())
            assert event["server"] == watch["server"] and event["revision"] >= watch["revision"]
            assert [each["id"] for each in hub.client.get(f"{hub.api}sessions").json()["sessions"]] == [host.runtime.name]
            assert hub.client.post(f"{hub.api}sessions/{host.runtime.name}/stop").json()["done"] == "stopped"
    finally:
        stream.close()
        hub.client.delete(f"{hub.api}watch/p")


def test_a_page_with_the_hub_s_cookie_needs_the_xsrf_token(hub: Hub) -> None:
    """As any page of the user's server; and its user has landed on a page of that, not on one of ours."""
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as page:
        page.get(f"{hub.url}hub/login")
        form = {"username": USER, "password": hub.password, "_xsrf": str(page.cookies.get("_xsrf", path="/hubbed/hub/"))}
        landed = page.post(f"{hub.url}hub/login", data=form)
        assert "farcell" not in str(landed.url) and f"/user/{USER}/" in str(landed.url)
        page.get(f"{hub.url}user/{USER}/files/nothing")  # a page of the server's own, which sends whoever is not known to the hub
        assert page.get(f"{hub.api}snapshot").status_code == 200
        body = {"page": "q", "within_s": 5}
        assert page.post(f"{hub.api}watch", json=body).status_code == 403
        xsrf = next(each.value for each in page.cookies.jar if each.name == "_xsrf" and "/user/" in each.path)
        assert page.post(f"{hub.api}watch", json=body, headers={"X-XSRFToken": str(xsrf)}).status_code == 200
