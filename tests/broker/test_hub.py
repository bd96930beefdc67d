"""The broker as a service of a real JupyterHub with five users: its tokens, its groups, and a kernel of a user's own server."""

from __future__ import annotations

import contextlib
import html
import re
import time
from collections.abc import Iterator

import httpx
import pytest
import websocket
from brokers import User, error_of, pool_policy
from hubs import ACCESS, ADMIN, USE, BrokerHub, connection_file
from jupyter_client.blocking.client import BlockingKernelClient
from sandbox import Sandbox

USERS = ("ada", "bob", "cyd", "dan", "eve")
POLICY = """
[targets.ml]
backend = "local"
slots = 2
isolation = "none"
[groups.ml]
targets = ["ml"]
[idle]
warning = "1s"
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[BrokerHub]:
    box = Sandbox()
    policy = pool_policy(box, slots=3) + POLICY
    with BrokerHub(box, USERS, {"ml": ["ada", "bob"]}, policy) as hub:
        yield hub
    left = box.close()
    assert not left, "left behind:\n  " + "\n  ".join(left)


def test_the_hub_says_who_asks_and_what_groups_they_are_in(hub: BrokerHub) -> None:
    told = {name: hub.user(name).client.get("api/me").json() for name in USERS}
    assert {name: each["name"] for name, each in told.items()} == {name: name for name in USERS}
    assert [name for name in USERS if told[name]["groups"] == ["ml"]] == ["ada", "bob"]
    offered = {name: [each["name"] for each in hub.user(name).client.get("api/targets").json()["targets"]] for name in USERS}
    assert offered["ada"] == ["ml"] and offered["cyd"] == ["pool"]


def test_a_token_needs_the_broker_s_scope_and_access_to_it(hub: BrokerHub) -> None:
    """The hub's own service token, one for something else, and one with half of what it takes are refused."""
    for scopes in ((ACCESS,), (USE,), ("read:users:name!user=ada",)):
        answer = hub.user("ada", *scopes).client.get("api/me")
        assert (answer.status_code, error_of(answer)) == (401, "token"), scopes
    assert hub.client.get(f"{hub.broker}api/me").status_code == 401
    assert hub.user("ada").client.get("api/me").json()["is_admin"] is False
    assert ADMIN not in str(hub.user("ada").client.get("api/me").json())


def test_the_pages_are_for_who_is_logged_in_to_the_hub_and_their_buttons_need_its_xsrf_token(hub: BrokerHub) -> None:
    """A cookie alone ends no lease, however the request is made; a token in the URL logs nobody in."""
    cyd = hub.user("cyd")
    lease = cyd.until(cyd.lease()["id"], "running")
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=30) as stranger:
        assert "/hub/login" in str(stranger.get(f"{hub.broker}?token={cyd.token}").url)
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=30) as browser:
        sent = browser.get(hub.broker)
        assert "/hub/login" in str(sent.url)
        form = {"username": "cyd", "password": hub.password, "_xsrf": xsrf_of(sent.text)}
        assert browser.post(str(sent.url), data=form).status_code == 200
        page = browser.get(hub.broker)
        assert str(page.url) == hub.broker and "My GPUs" in page.text and "running" in page.text
        assert browser.get(f"{hub.broker}admin").status_code == 403
        end = f"{hub.broker}leases/{lease['id']}/end"
        for wrong in ({}, {"_xsrf": "x"}):
            assert browser.post(end, data=wrong).status_code == 403
        assert cyd.look(lease["id"])["state"] == "running"
        done = browser.post(end, data={"_xsrf": xsrf_of(page.text)})
        assert done.status_code == 200 and str(done.url) == hub.broker
        assert httpx.get(f"{hub.broker}api/me", cookies=browser.cookies, trust_env=False).status_code == 401
    cyd.until(lease["id"], "ended")


def xsrf_of(text: str) -> str:
    """Of the first form of a page."""
    found = re.search(r'name="_xsrf" value="([^"]+)"', text)
    assert found is not None, text
    return html.unescape(found[1])


def test_outputs_are_shared_with_users_of_the_hub_alone(hub: BrokerHub) -> None:
    """A name that is nobody's now may be somebody's later; all that are wrong are told at once, and nothing is shared."""
    ada, bob = hub.user("ada"), hub.user("bob")
    outputs = [{"output_type": "stream", "name": "stdout", "text": "hello\n"}]
    asked = {"run": "r1", "outputs": outputs}
    refused = ada.client.post("api/shares", json={**asked, "readers": ["bob", "bobb", "Bob", "a"]})
    assert (refused.status_code, error_of(refused)) == (409, "refused")
    said = refused.json()["error"]["message"]
    assert said == "The hub has no user 'bobb' and no user 'Bob' and no user 'a': nothing is shared."
    assert ada.client.get("api/shares").json() == bob.client.get("api/shares").json() == {"shares": []}
    made = ada.client.post("api/shares", json={**asked, "readers": ["bob", "ada", "bob"]})
    assert made.status_code == 201, made.text
    assert bob.client.get(f"api/shares/{made.json()['id']}").json()["outputs"] == outputs
    ada.client.delete(f"api/shares/{made.json()['id']}").raise_for_status()


def test_five_users_share_three_slots_in_the_order_of_asking(hub: BrokerHub) -> None:
    users = [hub.user(name) for name in ("cyd", "dan", "eve")]
    held = [user.until(user.lease()["id"], "running") for user in users]
    waiting = users[0].lease()
    assert (waiting["state"], waiting["place"]) == ("waiting", 1)
    users[1].end(held[1]["id"])
    users[0].until(waiting["id"], "running")
    for user, lease in ((users[0], held[0]), (users[2], held[2]), (users[0], waiting)):
        user.end(lease["id"])


def test_a_kernel_of_a_user_s_server_uses_what_the_broker_lends_without_anything_set_up(hub: BrokerHub) -> None:
    """By the server's own token, whose role was given the broker's scope; the target is there by itself."""
    url = hub.serve("cyd")
    kernel = hub.client.post(f"{url}api/kernels", json={}).json()["id"]
    client = BlockingKernelClient(connection_file=str(connection_file(hub.box, kernel)))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=90)
        said = run(client, "%load_ext farcell\n%remote targets") + run(client, "%%remote pool\nimport os\nprint('there', 6 * 7)")
        assert "pool" in said and "there 42" in said, said
        environment = run(
            client, "%%remote pool\nimport os\nprint([name for name in os.environ if 'HUB' in name or 'BROKER' in name])"
        )
        assert "[]" in environment
        standing = run(client, "%remote usage")
        assert "GPU-hours" in standing and "pool" in standing and "running" in standing, standing
        run(client, "%remote stop pool")
    finally:
        client.stop_channels()
        hub.client.delete(f"{url}api/kernels/{kernel}")
    cyd = hub.user("cyd")
    for lease in cyd.client.get("api/leases").json()["leases"]:
        cyd.until(lease["id"], "ended")


def run(client: BlockingKernelClient, code: str) -> str:
    """All that it shows; fails when it raises."""
    said: list[str] = []

    def take(message: dict) -> None:  # type: ignore[type-arg]
        content = message["content"]
        said.append(content.get("text") or content.get("data", {}).get("text/plain") or "")

    reply = client.execute_interactive(code, output_hook=take, timeout=90, allow_stdin=False)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(said)


@pytest.mark.slow
def test_a_token_that_the_hub_revokes_closes_its_stream_within_a_minute(hub: BrokerHub) -> None:
    cyd = hub.user("cyd")
    lease = cyd.until(cyd.lease()["id"], "running")
    other = hub.user("cyd")
    with stream_of(hub, other, lease) as stream:
        hub.api(f"users/cyd/tokens/{other.id}", "DELETE")
        began = time.monotonic()
        opcode, data = stream.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 4003)
    assert time.monotonic() - began < 60
    cyd.end(lease["id"])


@contextlib.contextmanager
def stream_of(hub: BrokerHub, user: User, lease: dict[str, object]) -> Iterator[websocket.WebSocket]:
    url = f"{hub.broker.replace('http', 'ws', 1)}api/leases/{lease['id']}/stream?fence={lease['fence']}"
    header = [f"Authorization: token {user.token}"]
    stream = websocket.create_connection(url, timeout=90, header=header, suppress_origin=True)
    sock = stream.sock
    try:
        yield stream
    finally:
        stream.close()
        sock.close()


@pytest.mark.slow
def test_who_leaves_a_group_loses_what_it_gave_after_a_warning(hub: BrokerHub) -> None:
    """Also while nothing of theirs asks the broker anything."""
    ada = hub.user("ada")
    lease = ada.until(ada.lease("ml")["id"], "running")
    hub.api("groups/ml/users", "DELETE", users=["ada"])
    ended = ada.until(lease["id"], "ended", timeout_s=100)
    assert "ml" in ended["reason"]
    assert lease["id"] not in [each["id"] for each in ada.client.get("api/leases").json()["leases"]]
