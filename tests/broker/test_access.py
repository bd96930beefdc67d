"""Who may ask the broker what: every path without a token, with one that has expired or was revoked, and with another's."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import httpx
import pytest
import websocket
from brokers import BrokerProcess, User, error_of

PATHS = [
    ("GET", "api/me"),
    ("GET", "api/targets"),
    ("GET", "api/leases"),
    ("POST", "api/leases"),
    ("GET", "api/leases/{id}"),
    ("DELETE", "api/leases/{id}"),
    ("GET", "api/leases/{id}/stream?fence=1"),
    ("GET", "api/usage"),
    ("GET", "api/audit"),
    ("GET", "api/accounts"),
    ("GET", "metrics"),
    ("GET", "api/shares"),
    ("POST", "api/shares"),
    ("GET", "api/shares/1"),
    ("DELETE", "api/shares/1"),
    ("POST", "api/shares/1/values"),
    ("GET", "api/leases/{id}/journal"),
    ("GET", "api/nothing"),
    ("GET", "nothing"),
]


@pytest.fixture(scope="module")
def ada(broker: BrokerProcess) -> User:
    return broker.user("ada")


@pytest.fixture(scope="module")
def lease(ada: User) -> Iterator[dict[str, object]]:
    """One that ada holds, running."""
    lease = ada.until(str(ada.lease()["id"]), "running")
    yield lease
    ada.end(str(lease["id"]))


def ask(broker: BrokerProcess, method: str, path: str, lease: dict[str, object], **headers: str) -> httpx.Response:
    return httpx.request(method, broker.url + path.format(id=lease["id"]), headers=headers, trust_env=False, timeout=30)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_nobody_is_told_anything_without_a_good_token(
    broker: BrokerProcess, lease: dict[str, object], method: str, path: str
) -> None:
    """None, one made up, one of the right form, one in the URL or a cookie, and one that has expired."""
    gone = broker.user("eve", days=-1.0)
    revoked = broker.user("mallory")
    broker.tokens.revoke(revoked.id)
    good = broker.user("bob").token
    for token in (
        "",
        "token x",
        f"Bearer fcb_{'0' * 12}_{'A' * 43}",
        f"token {gone.token}",
        f"token {revoked.token}",
        f"Basic {good}",
    ):
        answer = ask(broker, method, path, lease, **({"Authorization": token} if token else {}))
        assert (answer.status_code, error_of(answer)) == (401, "token"), token
    for headers in ({"Cookie": f"token={good}; jupyterhub-services={good}"}, {"Sec-Fetch-Mode": "websocket"}):
        separator = "&" if "?" in path else "?"
        answer = ask(broker, method, f"{path}{separator}token={good}", lease, **headers)
        assert answer.status_code == 401, headers


def test_another_s_lease_is_as_good_as_none(broker: BrokerProcess, lease: dict[str, object]) -> None:
    """Also its stream; an administrator may see and end it, and not look into it."""
    eve, root = broker.user("eve"), broker.user("root", is_admin=True)
    id, fence = lease["id"], lease["fence"]
    for method, path in (
        ("GET", f"api/leases/{id}"),
        ("DELETE", f"api/leases/{id}"),
        ("GET", f"api/leases/{id}/stream?fence={fence}"),
    ):
        answer = eve.client.request(method, path, headers=upgrade() if "stream" in path else {})
        assert (answer.status_code, error_of(answer)) == (404, "not-found")
        assert answer.json() == json.loads(
            eve.client.request(method, path.replace(str(id), "nothing"), headers=upgrade() if "stream" in path else {})
            .text.replace("nothing", str(id))
        )  # fmt: skip
    assert eve.client.get("api/leases").json() == {"leases": []}
    assert error_of(eve.client.get("api/leases?all=1")) == "forbidden"
    assert error_of(eve.client.get("api/audit")) == "forbidden"
    assert [each["id"] for each in root.client.get("api/leases?all=1").json()["leases"]] == [id]
    assert root.look(str(id))["user"] == "ada"
    assert root.client.get(f"api/leases/{id}/stream?fence={fence}", headers=upgrade()).status_code == 404
    assert "stream.opened" not in {each["action"] for each in root.client.get("api/audit").json()["entries"]}


def upgrade() -> dict[str, str]:
    return {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}


def test_a_stream_is_for_the_lease_as_it_was_granted_and_for_no_page_of_another_site(
    broker: BrokerProcess, ada: User, lease: dict[str, object]
) -> None:
    path = f"api/leases/{lease['id']}/stream"
    assert error_of(ada.client.get(f"{path}?fence={lease['fence']}")) == "http"  # no WebSocket
    assert error_of(ada.client.get(f"{path}?fence=1", headers=upgrade())) == "stale"
    assert error_of(ada.client.get(path, headers=upgrade())) == "http"
    foreign = {**upgrade(), "Origin": "https://evil.example"}
    assert ada.client.get(f"{path}?fence={lease['fence']}", headers=foreign).status_code == 403
    with open_stream(broker, ada, lease) as stream:
        assert stream.connected


@contextlib.contextmanager
def open_stream(broker: BrokerProcess, user: User, lease: dict[str, object]) -> Iterator[websocket.WebSocket]:
    url = f"{broker.url.replace('http', 'ws', 1)}api/leases/{lease['id']}/stream?fence={lease['fence']}"
    header = [f"Authorization: token {user.token}"]
    stream = websocket.create_connection(url, timeout=70, header=header, suppress_origin=True)
    sock = stream.sock  # which it forgets without closing it, when the other end does
    try:
        yield stream
    finally:
        stream.close()
        sock.close()


def test_a_message_that_is_too_long_or_is_text_ends_the_stream(
    broker: BrokerProcess, ada: User, lease: dict[str, object]
) -> None:
    with open_stream(broker, ada, lease) as stream:
        stream.send("hello")
        assert end_of(stream) == 1003
    with open_stream(broker, ada, lease) as stream, contextlib.suppress(OSError):
        stream.send(b"x" * (5 << 20), websocket.ABNF.OPCODE_BINARY)
        assert end_of(stream) in (1009, None)


def end_of(stream: websocket.WebSocket) -> int | None:
    """Why it was closed, RFC 6455's number; None when it was cut. A stream that is not closed fails by its time-out."""
    try:
        opcode, data = stream.recv_data()
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        return None
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int.from_bytes(data[:2], "big")


@pytest.mark.slow
def test_a_token_that_is_revoked_closes_its_stream_within_a_minute(broker: BrokerProcess, lease: dict[str, object]) -> None:
    other = broker.user("ada")
    with open_stream(broker, other, lease) as stream:
        broker.tokens.revoke(other.id)
        began = time.monotonic()
        assert end_of(stream) == 4003
    assert time.monotonic() - began < 60


def test_a_request_that_is_not_right_is_refused_without_repeating_it(ada: User) -> None:
    for body in ("", "[]", "{", '{"key": "12345678"}', '{"key": "12345678", "target": "pool", "user": "root"}'):
        answer = ada.client.post("api/leases", content=body)
        assert (answer.status_code, error_of(answer)) == (400, "http"), body
    for query in ("wait_s=nan", "wait_s=1e9", "wait_s=-1", "nothing=1", "seen=" + 300 * "x"):
        assert ada.client.get(f"api/leases/x?{query}").status_code == 400, query
    answer = ada.client.post("api/leases", json={"key": "12345678", "target": "none"})
    assert (answer.status_code, error_of(answer)) == (409, "refused")


def test_tokens_lie_in_no_file_but_as_digests_and_in_no_log(broker: BrokerProcess, ada: User) -> None:
    broker.tokens.revoke("000000000000")
    for file in (broker.tokens.path, broker.log, *(broker.folder / "state").iterdir()):
        assert ada.token.encode() not in file.read_bytes(), file
    assert broker.tokens.path.stat().st_mode & 0o077 == 0
