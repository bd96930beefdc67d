"""Outputs that users of a broker show each other: who sees them, for how long, and that they can do nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from brokers import BrokerProcess, User, error_of
from farcell_broker import shares
from notebooks import Notebook

HELLO = [{"output_type": "stream", "name": "stdout", "text": "hello\n"}]
SHOWS = """%%remote
from IPython.display import HTML, SVG, Javascript, display
print("loss 0.25")
display(HTML("<b>best</b><script>window.owned = true</script>"), Javascript("window.owned = true"))
handle = display("epoch 1", display_id=True)
handle.update("epoch 2")
import ipywidgets
display(ipywidgets.IntSlider(3))
1 / 0
"""


def post(user: User, **more: Any) -> httpx.Response:
    return user.client.post("api/shares", json={"run": "r1", "readers": ["bob"], "outputs": HELLO, **more})


def test_the_api_tells_others_nothing_and_takes_outputs_of_two_megabytes(broker: BrokerProcess) -> None:
    ada, bob, eve = (broker.user(name) for name in ("ada", "bob", "eve"))
    made = post(ada, outputs=[{**HELLO[0], "text": "x" * (shares.MOST_BYTES - 1000)}])
    assert made.status_code == 201, made.text
    share = made.json()
    assert "outputs" not in share and share["size"] > 2_000_000
    assert bob.client.get(f"api/shares/{share['id']}").json()["outputs"][0]["text"].startswith("xxx")
    for answer in (eve.client.get(f"api/shares/{share['id']}"), bob.client.delete(f"api/shares/{share['id']}")):
        assert (answer.status_code, error_of(answer)) == (404, "not-found")
    assert eve.client.get("api/shares").json() == {"shares": []}
    assert error_of(post(ada, outputs=[{**HELLO[0], "text": "x" * (shares.MOST_BYTES + 1000)}])) == "refused"
    assert ada.client.delete(f"api/shares/{share['id']}").json() == {"ended": share["id"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"run": ""},
        {"run": "../x"},
        {"readers": []},
        {"readers": ["a b"]},
        {"readers": "bob"},
        {"outputs": "x"},
        {"outputs": [1]},
        {"lasts_s": -1},
        {"lasts_s": 1e300},
        {"more": 1},
    ],
)
def test_what_is_no_share_is_refused_with_its_fault(broker: BrokerProcess, wrong: dict[str, Any]) -> None:
    answer = post(broker.user("ada"), **wrong)
    assert answer.status_code == 400 and next(iter(wrong)) in answer.json()["error"]["message"]


def test_nobody_unknown_has_a_large_body_read(broker: BrokerProcess) -> None:
    """Nor a known one a body larger than any share."""
    answer = httpx.post(broker.url + "api/shares", content=_endless(64), trust_env=False, timeout=30)
    assert answer.status_code == 401
    ada = broker.user("ada")
    try:
        answer = ada.client.post("api/shares", content=_endless(64))
    except httpx.TransportError:  # closed while it was being sent
        return
    assert answer.status_code in (400, 413)


def _endless(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield bytes(1 << 20)


@pytest.mark.timeout(240)
def test_a_run_is_shared_from_one_notebook_to_another(broker: BrokerProcess, notebook: Notebook, reader: Notebook) -> None:
    """Its scripts and widgets stay where they were."""
    broker.define(notebook.sandbox, broker.user("ada"))
    broker.define(reader.sandbox, broker.user("bob"))
    ran = notebook.run(SHOWS)
    assert ran.error is not None and ran.error.name == "ZeroDivisionError"
    run = next(run for _, message in ran.messages if (run := message["parent_header"].get("farcell_run")))[:8]
    said = notebook.run(f"%remote share {run} --with bob --for 2h").check().stdout
    assert said.startswith(f"bob can see the outputs of run {run} until ")
    assert "Not shown to others: application/javascript, application/vnd.jupyter.widget-view+json." in said
    share = said.split("%remote shared ")[1].split()[0]

    reader.run("%load_ext farcell").check()
    listed = reader.run("%remote shared").check()
    table = listed.outputs[0]["data"]["text/plain"]
    assert all(each in table for each in (share, "ada", "bob", run))
    seen = reader.run(f"%remote shared {share}").check()
    assert seen.stdout.startswith(f"'ada' shares run {run} on 'local', of ")
    assert seen.stdout.endswith("loss 0.25\n") and "ZeroDivisionError" in seen.stderr
    bundles = [output["data"] for output in seen.outputs if output["output_type"] == "display_data"]
    shown = [bundle.get("text/html") or bundle["text/plain"] for bundle in bundles]
    assert shown[:3] == ["<b>best</b>", "<IPython.core.display.Javascript object>", "'epoch 2'"]
    assert len(shown) == 4 and shown[3].startswith("IntSlider(")
    assert "owned" not in json.dumps(seen.outputs) and "widget-view" not in json.dumps(bundles)

    notebook.run(f"%remote share --end {share}").check()
    refused = reader.run(f"%remote shared {share}")
    assert refused.error is not None and f"There is no share '{share}' of yours or for you" in refused.error.value


def test_who_has_no_broker_is_told_what_sharing_takes(notebook: Notebook) -> None:
    for line in ("%remote shared", "%remote share 1234 --with bob"):
        error = notebook.run(line).error
        assert error is not None
        assert error.value == "Sharing goes by a broker. No target of yours belongs to one: see docs/broker.md."
