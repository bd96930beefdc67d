"""What runs have shown is there for their user after the lease has ended, and for nobody else."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from brokers import BrokerProcess, User, pool_policy
from farcell_host.journal import messages_of
from lending import Lender, lease, shared
from notebooks import Notebook
from sandbox import Sandbox

SAYS = (
    "%%remote pool --detach\nimport time\nfor n in range({count}):\n    print(n, flush=True)\n    time.sleep({pause})\nmade = 7"
)
GOES_ON = SAYS.format(count=10_000, pause=0.05)


@pytest.fixture
def broker(sandbox: Sandbox) -> Iterator[BrokerProcess]:
    with BrokerProcess(sandbox, pool_policy(sandbox, slots=2) + '[idle]\nwarning = "1s"\n') as broker:
        yield broker


def left(user: User) -> list[dict[str, Any]]:
    return list(user.client.get("api/leases", params={"left": 1}).json()["left"])


def begun(broker: BrokerProcess, notebook: Notebook, code: str, **keys: Any) -> tuple[User, dict[str, Any]]:
    """A detached run whose notebook's kernel is gone then."""
    ada = broker.user("ada")
    broker.define(broker.box, ada, **keys)
    notebook.run("%load_ext farcell").check()
    notebook.run(code).check()
    (lent,) = ada.client.get("api/leases").json()["leases"]
    notebook.restart(now=True)
    notebook.run("%load_ext farcell").check()
    return ada, lent


def test_a_run_that_was_over_before_its_lease_is_picked_up_afterwards(broker: BrokerProcess, plain_notebook: Notebook) -> None:
    """All that it has shown, once; what it had made was saved by the session. Nobody else is told that it is there."""
    notebook = plain_notebook
    go = broker.folder / "go"
    waits = f"%%remote pool --detach\nimport os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.05)\n"
    ada, lent = begun(broker, notebook, f"{waits}for n in range(20):\n    print(n)\nmade = 7", walltime="9s")
    go.touch()
    ada.until(lent["id"], "ended")
    [kept] = left(ada)
    assert (kept["id"], kept["is_whole"], len(kept["runs"])) == (lent["id"], True, 1) and "made" in kept["saved"]
    path = f"api/leases/{lent['id']}/journal"
    for other in (broker.user("bob"), broker.user("root", is_admin=True)):
        assert left(other) == [] and other.client.get(path).status_code == 404
    told = ada.client.get(path).json()
    assert b"made" in zlib.decompress(base64.b64decode(told["zlib"]))
    assert lent["runtime"].rpartition("/")[2] in str(notebook.run("%remote sessions --all").check().outputs)
    attached = notebook.run("%remote attach").check()
    assert attached.stdout.split()[:20] == [str(n) for n in range(20)]
    assert "%remote restore pool" in str(attached.outputs)
    assert left(ada) == [] and ada.client.get(path).status_code == 404
    again = notebook.run("%remote attach")
    assert again.error is not None and again.error.name == "UsageError", again.outputs


def test_a_run_that_its_lease_s_end_has_interrupted_shows_how_far_it_came(
    broker: BrokerProcess, plain_notebook: Notebook
) -> None:
    """Until it was interrupted, and by what."""
    notebook = plain_notebook
    ada, lent = begun(broker, notebook, GOES_ON, walltime="6s")
    ada.until(lent["id"], "ended")
    attached = notebook.run("%remote attach")
    shown = [int(word) for word in attached.stdout.split() if word.isdigit()]
    assert shown == list(range(len(shown))) and len(shown) > 20
    assert attached.error is not None and attached.error.name == "KeyboardInterrupt"


def test_an_administrator_s_end_leaves_it_and_giving_back_does_not(broker: BrokerProcess, plain_notebook: Notebook) -> None:
    notebook, root = plain_notebook, broker.user("root", is_admin=True)
    ada, lent = begun(broker, notebook, GOES_ON)
    root.client.delete(f"api/leases/{lent['id']}").raise_for_status()
    ada.until(lent["id"], "ended")
    assert [each["id"] for each in left(ada)] == [lent["id"]] and left(root) == []
    id = lent["runtime"].rpartition("/")[2]
    notebook.run(f"%remote sessions --all --end {id} --yes").check()
    assert left(ada) == []
    notebook.run(GOES_ON).check()
    (lent,) = ada.client.get("api/leases").json()["leases"]
    ada.end(lent["id"])
    assert left(ada) == []


def test_the_newest_is_kept_where_it_is_too_much(lender: Lender) -> None:
    """By bytes, in whole messages."""
    host = lender.start(lease(devices=(), gpus=0), shared(gpus=None, slots=1))
    with lender.driver(host, takeover=True) as driver:
        driver.acknowledges = False
        driver.run("for n in range(2000):\n    print(n, 'x' * 1000, flush=True)").check()
    journal = lender.do(lender.hosts.journal(host, 100_000, 10.0))
    assert len(journal.runs) == 1 and not journal.is_whole and len(journal.data) <= 100_000
    shown = [message.content["text"] for _, message in messages_of(journal.data) if message.msg_type == "stream"]
    assert shown and "1999 xxx" in shown[-1]
    whole = lender.do(lender.hosts.journal(host, 100 << 20, 10.0))
    assert whole.is_whole and len(whole.data) > 2_000_000
