"""Runs that a notebook makes through the broker are in its accounts, though the notebook's own ledger takes them too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brokers import BrokerProcess
from notebooks import Notebook
from sandbox import Sandbox


@pytest.fixture
def broker(sandbox: Sandbox) -> Iterator[BrokerProcess]:
    with BrokerProcess(sandbox, slots=1) as broker:
        yield broker


def test_runs_are_accounted_for_by_lease_though_the_notebook_s_ledger_has_them(
    broker: BrokerProcess, plain_notebook: Notebook
) -> None:
    """Each once, with the time that it took; the lease is given back by its user while its host lives."""
    ada, notebook = broker.user("ada"), plain_notebook
    broker.define(broker.box, ada)
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote pool\nimport time\ntime.sleep(0.5)").check()
    notebook.run("%%remote pool\n6 * 7").check()
    notebook.run("%remote usage").check()  # now the ledger has them, and the host need not keep them for it
    [lease] = ada.client.get("api/leases").json()["leases"]
    ada.end(lease["id"])
    [row] = ada.client.get("api/accounts", params={"by": "user"}).json()["rows"]
    assert (row["key"], row["leases"], row["runs"], row["open"]) == ("ada", 1, 2, 0)
    assert 0.5 <= row["run_hours"] * 3600 <= row["hours"] * 3600
