"""A real JupyterHub with its proxy, and the broker as a service that it starts."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from brokers import User, pool_policy, token_file
from jupyter_servers import CONFIG
from places import define_target
from ports import TRIES, free_ports, is_taken
from sandbox import Sandbox

START_S = 120.0
USE, ADMIN = "custom:farcell:use", "custom:farcell:admin"
ACCESS = "access:services!service=farcell"


def hub_programs() -> list[str]:
    """Skips the test where there is no hub to run."""
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    found = [shutil.which(name, path=places) for name in ("jupyterhub", "jupyterhub-singleuser", "configurable-http-proxy")]
    if not all(found):
        pytest.skip("optional: there is no hub here: npm install -g configurable-http-proxy")
    return [str(each) for each in found]


class BrokerHub:
    """`client` has a token of a service that may do anything to users; `url` is the proxy's, `broker` the service behind it."""

    def __init__(
        self,
        box: Sandbox,
        users: tuple[str, ...],
        groups: Mapping[str, list[str]] | None = None,
        policy: str | None = None,
        services: tuple[dict[str, Any], ...] = (),
    ) -> None:
        """`services`: others beside the broker, as JupyterHub has them."""
        self.box = box
        self._program, self._single_user, self._proxy = hub_programs()
        self._token, self.password = secrets.token_hex(16), secrets.token_hex(8)
        self.client = httpx.Client(headers={"Authorization": f"token {self._token}"}, trust_env=False, timeout=60)
        self._users: list[User] = []
        self.state = box.folder / "broker"
        self.policy = box.folder / "policy.toml"
        self.policy.write_text(policy if policy is not None else pool_policy(box))
        place = box.folder / "enabled" / "jupyter_server_config.d"
        place.mkdir(parents=True)
        shutil.copy(CONFIG, place)
        self._groups, self._services = dict(groups or {}), services
        self._names = users
        self._served: list[str] = []

    def _configure(self) -> None:
        """With ports that are free just now."""
        box = self.box
        port, hub_port, api_port, broker_port = free_ports(4)
        self.url = f"http://127.0.0.1:{port}/hubbed/"
        self.broker = f"{self.url}services/farcell/"
        path = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        server = {
            **box.variables(),
            **path,
            "JUPYTER_CONFIG_PATH": str(box.folder / "enabled"),
            "FARCELL_BROKER_URL": self.broker,
        }
        broker = {
            "name": "farcell",
            "url": f"http://127.0.0.1:{broker_port}",
            "command": [
                sys.executable,
                "-m",
                "farcell_broker",
                "run",
                "--policy",
                str(self.policy),
                "--state-dir",
                str(self.state),
            ],
            "environment": {**box.variables(), **path},
            "oauth_client_allowed_scopes": [USE, ADMIN],
            "oauth_no_confirm": True,
        }
        powers = ["admin:users", "admin:groups", "admin:servers", "access:servers", "tokens", "list:services", "read:services"]
        settings: dict[str, Any] = {
            "JupyterHub.bind_url": self.url.rstrip("/"),
            "JupyterHub.hub_port": hub_port,
            "JupyterHub.authenticator_class": "shared-password",
            "JupyterHub.spawner_class": "simple",
            "JupyterHub.db_url": f"sqlite:///{box.folder / 'hub.sqlite'}",
            "JupyterHub.cookie_secret_file": str(box.folder / "cookie_secret"),
            "JupyterHub.services": [{"name": "tester", "api_token": self._token}, broker, *self._services],
            "JupyterHub.custom_scopes": {
                USE: {"description": "Borrow GPUs of shared targets"},
                ADMIN: {"description": "See and end everybody's leases", "subscopes": [USE]},
            },
            "JupyterHub.load_groups": {name: {"users": members} for name, members in self._groups.items()},
            "JupyterHub.load_roles": [
                {"name": "tester-role", "services": ["tester"], "scopes": powers},
                {
                    "name": "broker-role",
                    "services": ["farcell"],
                    "scopes": ["list:users", "read:users:groups", "read:users:name"],
                },
                {"name": "user", "scopes": ["self", ACCESS, USE]},
                {"name": "server", "scopes": ["access:servers!server", "users:activity!user", ACCESS, USE]},
            ],
            "SharedPasswordAuthenticator.user_password": self.password,
            "Authenticator.allow_all": True,
            "SimpleLocalProcessSpawner.home_dir_template": str(box.folder / "home" / "{username}"),
            "Spawner.cmd": [self._single_user],
            "Spawner.args": ["--allow-root"],
            "Spawner.environment": server,
            "ConfigurableHTTPProxy.command": [self._proxy],
            "ConfigurableHTTPProxy.api_url": f"http://127.0.0.1:{api_port}",
        }
        lines = ["c = get_config()", *(f"c.{name} = {value!r}" for name, value in settings.items())]
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        """The hub's configuration, a setting a line."""
        (self.box.folder / "hub.py").write_text("\n".join(lines))

    def __enter__(self) -> BrokerHub:
        for left in reversed(range(TRIES)):
            self._configure()
            try:
                self._start()
                return self
            except AssertionError:
                if not left or not is_taken(self.log):
                    self.client.close()
                    raise
        raise AssertionError("unreachable")

    def _start(self) -> None:
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
            for name in self._names:
                self.client.post(f"{self.url}hub/api/users/{name}")
            self.until(lambda: self.client.get(f"{self.broker}api/me").status_code == 401)
        except BaseException:
            self._process.terminate()
            self._process.wait(60)
            raise

    def __exit__(self, *exception: object) -> None:
        for name in self._served:
            self.client.delete(f"{self.url}hub/api/users/{name}/server")
            self.until(lambda name=name: self.api(f"users/{name}").get("server") is None)  # type: ignore[misc]
        for user in self._users:
            user.client.close()
        self.client.close()
        self.stop()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """The hub's own process, and what it has started that does not outlive it."""
        self._process.send_signal(number)
        self._process.wait(60)

    def start(self) -> None:
        """Again, with the configuration, the database and the ports that it had."""
        self._start()

    @property
    def log(self) -> str:
        return (self.box.folder / "hub.log").read_text()

    def api(self, path: str, method: str = "GET", **body: Any) -> dict[str, Any]:
        answer = self.client.request(method, f"{self.url}hub/api/{path}", **({"json": body} if body else {}))
        assert answer.is_success, answer.text
        return dict(answer.json()) if answer.content else {}

    def user(self, name: str, *scopes: str) -> User:
        """With a new token of these scopes, of what a server's has without any."""
        made = self.api(f"users/{name}/tokens", "POST", scopes=list(scopes or (ACCESS, USE)))
        headers = {"Authorization": f"token {made['token']}"}
        client = httpx.Client(base_url=self.broker, headers=headers, trust_env=False, timeout=30)
        user = User(name, made["token"], made["id"], client)
        self._users.append(user)
        return user

    def define(self, box: Sandbox, user: User, name: str = "pool") -> None:
        """The target in a notebook's targets.toml, with the token in a file of the user's."""
        file = token_file(box.folder / f"{user.name}.token", user.token)
        define_target(box, name, backend="broker", url=self.broker, token_file=str(file))

    def serve(self, name: str) -> str:
        """Starts the user's server; its address."""
        self.client.post(f"{self.url}hub/api/users/{name}/server")
        self._served.append(name)
        url = f"{self.url}user/{name}/"
        self.until(lambda: self.client.get(f"{url}api/status").is_success)
        return url

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                if is_so():
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.2)


def connection_file(box: Sandbox, kernel: str) -> Path:
    return box.folder / "jr" / f"kernel-{kernel}.json"
