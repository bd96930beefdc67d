"""A broker without a hub, as a process of its own, and its users."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from farcell_broker.tokens import TokenFile
from places import define_target, toml
from sandbox import Sandbox

PREFIX = "/services/farcell/"
START_S = 60


@dataclass
class User:
    """One token, and the requests made with it."""

    name: str
    token: str
    id: str
    client: httpx.Client

    def lease(self, target: str = "pool", **more: Any) -> dict[str, Any]:
        """Asked for; it may wait."""
        answer = self.client.post("api/leases", json={"key": os.urandom(8).hex(), "target": target} | more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def look(self, id: str) -> dict[str, Any]:
        answer = self.client.get(f"api/leases/{id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, id: str, *states: str, timeout_s: float = 60) -> dict[str, Any]:
        """The lease when it is in one of these states; asked for as a notebook asks."""
        seen, lease = "", self.look(id)
        deadline = time.monotonic() + timeout_s
        while lease["state"] not in states:
            left = deadline - time.monotonic()
            assert left > 0, f"still {lease['state']}, not {states}: {lease['reason']}"
            answer = self.client.get(f"api/leases/{id}", params={"seen": seen, "wait_s": min(left, 50.0)}, timeout=60)
            assert answer.status_code == 200, answer.text
            lease, seen = dict(answer.json()), answer.json()["seen"]
        return lease

    def end(self, id: str) -> dict[str, Any]:
        answer = self.client.delete(f"api/leases/{id}")
        assert answer.status_code == 200, answer.text
        return self.until(id, "ended")


class BrokerProcess:
    """`with` it; `kill` and `start` are a restart. Its hosts' runtime folders lie in `box`, as those of local sessions do."""

    def __init__(self, box: Sandbox, policy: str | None = None, database: str | None = None, **target: Any) -> None:
        """`policy`: the file's whole text; else one target `pool`, of this machine, with these keys. `database`: a URL."""
        self.box, self.folder = box, box.folder / "broker"
        self.folder.mkdir(mode=0o700)
        self.policy = self.folder / "policy.toml"
        self.policy.write_text(policy if policy is not None else pool_policy(box, **target))
        self.tokens = TokenFile(self.folder / "tokens.json")
        self.log = self.folder / "broker.log"
        self.port = 0
        self.database = database
        self._process: subprocess.Popen[bytes] | None = None
        self._users: list[User] = []

    def another(self) -> BrokerProcess:
        """On the same database, policy and tokens, with a port of its own; not started yet."""
        other = copy.copy(self)
        other.port, other._process, other._users = 0, None, []
        return other

    python = sys.executable
    account: Mapping[str, Any] = {}
    """Of another account, as Popen takes it."""

    def environment(self) -> dict[str, str]:
        return self.box.environment()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    def __enter__(self) -> BrokerProcess:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for user in self._users:
            user.client.close()
        self.stop()

    def start(self) -> None:
        """On the port it had before, if it had one."""
        words = ["--policy", str(self.policy), "--state-dir", str(self.folder / "state"), "--tokens", str(self.tokens.path)]
        words += ["--url", self.url]
        given = {"FARCELL_BROKER_DATABASE": self.database} if self.database else {}
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [self.python, "-m", "farcell_broker", "run", *words],
                env={**self.environment(), **given},
                **self.account,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        assert "listens on port" in line, f"{line}\n{self.log.read_text()[-3000:]}"
        self.port = int(line.split("port ")[1].split(",")[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        assert process.stdout is not None
        process.stdout.close()
        return process.wait(30)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def user(self, name: str, *groups: str, is_admin: bool = False, days: float = 1.0) -> User:
        token = self.tokens.add(name, groups, is_admin, days)
        headers = {"Authorization": f"token {token}"}
        client = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)
        user = User(name, token, token.split("_")[1], client)
        self._users.append(user)
        return user

    def define(self, box: Sandbox, user: User, name: str = "pool", **keys: Any) -> None:
        """The target in a notebook's targets.toml, with the token in a file of the user's."""
        file = box.folder / f"{user.name}.token"
        file.write_text(user.token)
        file.chmod(0o600)
        define_target(box, name, backend="broker", url=self.url, token_file=str(file), **keys)


def pool_policy(box: Sandbox, **target: Any) -> str:
    """One target for everybody, where the remote kernel has the code under test."""
    path = os.environ.get("PYTHONPATH")
    env: Mapping[str, str] = {**box.variables(), **({"PYTHONPATH": path} if path else {})}
    keys = {"backend": "local", "slots": 4, "isolation": "none", "python": sys.executable, "env": dict(env), **target}
    lines = [f"{key} = {toml(value)}" for key, value in keys.items() if value is not None]
    return "\n".join(["[targets.pool]", *lines, "[everyone]", 'targets = ["pool"]', ""])


def error_of(answer: httpx.Response) -> str:
    """The code of a refusal, which must be of the form that all have."""
    told = json.loads(answer.text)
    assert set(told) == {"error"} and set(told["error"]) == {"code", "message"} and told["error"]["message"], told
    return str(told["error"]["code"])


def token_file(path: Path, token: str) -> Path:
    path.write_text(token)
    path.chmod(0o600)
    return path
