"""The broker's pages: what people see of their GPUs, what administrators see of everybody's, and what the buttons do."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import httpx
from brokers import BrokerProcess, User


class Outline(HTMLParser):
    """What a page consists of; fails on what a reader of it would stumble over."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.forms: list[str] = []
        self.scripts = 0
        self.lang = ""
        self.unlabelled: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in ("meta", "input", "br", "link"):
            self._open.append(tag)
        if tag == "html":
            self.lang = found.get("lang") or ""
        if tag == "form":
            self.forms.append(found.get("action") or "")
        if tag == "script" or any(name.startswith("on") for name in found):
            self.scripts += 1
        if (tag == "th" and "scope" not in found) or (tag == "meter" and "aria-label" not in found):
            self.unlabelled.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop() != tag:  # a row or an option may be closed by its table
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2"):
            self.headings.append(data.strip())


def page(user: User, path: str = "", status: int = 200) -> tuple[str, Outline]:
    answer = user.client.get(path)
    assert answer.status_code == status, answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    outline = Outline(answer.text)
    assert (outline.lang, outline.scripts, outline.unlabelled) == ("en", 0, [])
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)), outline


def test_who_sends_no_token_sees_nothing(broker: BrokerProcess) -> None:
    for path in ("", "admin", "accounts.csv"):
        answer = httpx.get(broker.url + path, trust_env=False, cookies={"token": "x"})
        assert answer.status_code == 401 and "no hub to log in with" in answer.text
    assert httpx.post(f"{broker.url}leases/x/end", trust_env=False).status_code == 401


def test_one_s_own_page_shows_leases_share_and_use(broker: BrokerProcess) -> None:
    """A notebook's name is text, whatever it is."""
    ada = broker.user("ada")
    lease = ada.until(ada.lease(notebook="<script>alert(1)</script>.ipynb")["id"], "running")
    text, outline = page(ada)
    assert outline.headings[:3] == ["My GPUs", "My share", "What I may use"]
    assert (
        "running" in text and "&lt;script&gt;alert(1)&lt;/script&gt;.ipynb" in text and "none: everybody there can read" in text
    )
    assert outline.forms == [f"/services/farcell/leases/{lease['id']}/end"]
    page(ada, "admin", 403)
    assert ada.client.get("accounts.csv?all=1").status_code == 403
    ada.end(str(lease["id"]))


def test_another_s_lease_cannot_be_ended_from_a_page(broker: BrokerProcess) -> None:
    """It is as good as none; its own user's button ends it."""
    ada, ben = broker.user("ada"), broker.user("ben")
    lease = ada.until(ada.lease()["id"], "running")
    for verb in ("end", "warn", "first"):
        assert ben.client.post(f"leases/{lease['id']}/{verb}").status_code == 404
    for verb in ("warn", "first"):
        assert ada.client.post(f"leases/{lease['id']}/{verb}").status_code in (403, 409)
    answer = ada.client.post(f"leases/{lease['id']}/end")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/services/farcell/")
    assert ada.until(str(lease["id"]), "ended")["reason"] == "It was given back."


def test_administrators_see_everybody_and_may_end_warn_and_put_first(broker: BrokerProcess) -> None:
    """And all of it is in the audit log, which they see too."""
    root, ada, ben = broker.user("root", is_admin=True), broker.user("ada"), broker.user("ben")
    held = [ada.until(ada.lease(notebook="a.ipynb")["id"], "running") for _ in range(broker_slots(ada))]
    waiting = [user.lease() for user in (ada, ben)]
    assert root.client.post(f"leases/{waiting[1]['id']}/first", data={"page": "admin"}).headers["Location"].endswith("/admin")
    assert ben.look(str(waiting[1]["id"]))["place"] == 1
    answer = root.client.post(f"leases/{held[0]['id']}/warn", data={"reason": "maintenance"})
    assert answer.status_code == 303
    assert ada.look(str(held[0]["id"]))["reason"] == "maintenance (root, an administrator)"
    text, outline = page(root, "admin?by=notebook")
    assert outline.headings == ["Everybody's GPUs", "Targets", "Leases", "Accounts", "Audit log"]
    assert "a.ipynb" in text and "lease.put_first" in text and "waiting, 1 in the queue" in text and "ends soon" in text
    page(root, "admin?by=colour", 409)
    page(root, "admin?since=soon", 409)
    for lease in (*waiting, *held):
        root.client.post(f"leases/{lease['id']}/end", data={"page": "admin"})
    for lease in held:
        assert ada.until(str(lease["id"]), "ended")["state"] == "ended"
    rows = list(csv.DictReader(io.StringIO(root.client.get("accounts.csv?by=user&all=1").text)))
    assert "ada" in [row["key"] for row in rows]
    assert {row["key"] for row in csv.DictReader(io.StringIO(ben.client.get("accounts.csv?by=user").text))} <= {"ben"}


def broker_slots(user: User) -> int:
    [target] = user.client.get("api/targets").json()["targets"]
    return int(target["slots"] or target["gpus"])


def test_accounts_and_metrics_are_there_for_programs(broker: BrokerProcess) -> None:
    """One's own account; everybody's for administrators; numbers without names for any token."""
    ada, root = broker.user("ada"), broker.user("root", is_admin=True)
    assert 'farcell_broker_gpu_seconds_total{target="pool"} 0.0' in ada.client.get("metrics").text
    ada.end(ada.until(ada.lease()["id"], "running")["id"])
    own = ada.client.get("api/accounts", params={"by": "user"}).json()
    assert [row["key"] for row in own["rows"]] == ["ada"]
    for query in ({"all": 1}, {"user": "root"}):
        assert ada.client.get("api/accounts", params=query).status_code == 403
    told = root.client.get("api/accounts", params={"all": 1, "format": "csv", "by": "target"})
    assert told.headers["Content-Type"].startswith("text/csv") and "pool" in told.text
    assert ada.client.get("api/accounts", params={"since": "soon"}).status_code == 409
    numbers = ada.client.get("metrics")
    assert 'farcell_broker_leases_ended_total{target="pool"} 1.0' in numbers.text and "ada" not in numbers.text
