"""The whole of it: a broker that is not root, people's cells in people's accounts, and a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import BrokerProcess, User
from farcell_broker.tokens import TokenFile
from hostclient import is_alive, wait_until
from notebooks import Notebook
from sandbox import Sandbox
from services.people import People

POLICY = """
[targets.own]
slots = 4
isolation = "account"
helper = "{helper}"
account_name = "{prefix}-{{user}}"
[targets.lent]
backend = "local"
slots = 2
isolation = "pool"
helper = "{helper}"
accounts = ["{prefix}-p1", "{prefix}-p2"]
[everyone]
targets = ["own", "lent"]
"""


class PeoplesBroker(BrokerProcess):
    """`farcell-broker run` under the broker's account, with its helper."""

    def __init__(self, people: People, box: Sandbox) -> None:
        entry = people.entry(people.broker)
        self.box, self.folder = box, Path(entry.pw_dir, "state")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.python = str(people.python)
        self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": entry.pw_dir}
        self._variables = {"HOME": entry.pw_dir, "USER": entry.pw_name, "PATH": "/usr/local/bin:/usr/bin:/bin"}
        self._owner = (entry.pw_uid, entry.pw_gid)
        self.policy = self.folder / "policy.toml"
        self.policy.write_text(POLICY.format(helper=people.helper, prefix=people.folder.name))
        self.tokens = TokenFile(self.folder / "tokens.json")
        self.log = self.folder / "broker.log"
        self.port, self.database, self._process, self._users = 0, None, None, []

    def environment(self) -> dict[str, str]:
        return self._variables

    def start(self) -> None:
        self.give()
        super().start()

    def user(self, name: str, *groups: str, **more: Any) -> User:
        if self.tokens.path.exists():  # a file of tokens is only for whom it belongs to
            os.chown(self.tokens.path, os.getuid(), os.getgid())
        user = super().user(name, *groups, **more)
        self.give()
        return user

    def give(self) -> None:
        """All that the test has written is the broker's."""
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, *self._owner)


@pytest.fixture
def broker(people: People, sandbox: Sandbox) -> Iterator[PeoplesBroker]:
    with PeoplesBroker(people, sandbox) as broker:
        yield broker


@pytest.mark.timeout(600)
def test_cells_of_two_people_run_in_two_accounts_and_end_with_their_leases(
    broker: PeoplesBroker, people: People, plain_notebook: Notebook
) -> None:
    ann, bob, notebook = broker.user("ann"), broker.user("bob"), plain_notebook
    broker.define(broker.box, ann, "own")
    broker.define(broker.box, bob, "lent")
    notebook.run("%load_ext farcell").check()
    cell = notebook.run("%%remote own\nimport os, sys\nwhere = os.getuid(), os.getpid()\nsecret = 'of ann'").check()
    uid, pid = notebook.value("where")
    assert uid == people.entry("ann").pw_uid and is_alive(pid), cell
    (hers,) = ann.client.get("api/leases").json()["leases"]
    assert hers["isolation"] == "account" and hers["runtime"].startswith(f"{people.runtime}/{people.name('ann')}/")
    look = f"""%%remote lent
import os
mine = os.getuid()
try:
    open("/proc/{pid}/environ").read()
    told = "READ"
except PermissionError:
    told = "refused"
open(os.path.expanduser("~/left"), "w").close()
"""
    notebook.run(look).check()
    assert notebook.value("told") == "refused" and notebook.value("mine") == people.entry("p1").pw_uid
    broker.kill()
    broker.start()
    assert notebook.run("%%remote own\nprint(secret)").check().stdout == "of ann\n", "sessions outlive the broker"
    for user, target in ((ann, "own"), (bob, "lent")):
        (lease,) = user.client.get("api/leases").json()["leases"]
        notebook.run(f"%remote stop {target}").check()
        user.until(lease["id"], "ended")
    assert wait_until(lambda: not is_alive(pid))
    assert list(Path(people.entry("p1").pw_dir).iterdir()) == []
    environment = Path(f"/proc/{broker._process.pid}/environ").stat() if broker._process is not None else None
    assert environment is not None and environment.st_uid == 0, "nobody but root reads the broker's own environment"
    words = (broker.folder / "broker.log").read_text()
    assert ann.token not in words and bob.token not in words
