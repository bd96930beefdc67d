"""The broker's hosts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brokers import BrokerProcess
from lending import Lender
from notebooks import Notebook
from sandbox import Sandbox
from services.fixtures import end
from services.needs import USERS, ensure
from services.people import BrokerOfPeople, People, missing_python

TOKEN = "token-of-the-broker"


@pytest.fixture
def lender(sandbox: Sandbox) -> Iterator[Lender]:
    """Whose hosts are ended when the test is over."""
    lender = Lender()
    yield lender
    lender.close()


@pytest.fixture
def reader() -> Iterator[Notebook]:
    """Somebody else's, with folders of their own."""
    box = Sandbox()
    with Notebook(box) as notebook:
        yield notebook
    left = box.close()
    assert not left, left


@pytest.fixture(scope="module")
def people() -> Iterator[People]:
    """Five Unix accounts, the broker's, and its helper."""
    ensure(USERS)
    if reason := missing_python():
        pytest.skip(f"optional: users: {reason}")
    with People() as made:
        yield made
        end(made)


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    """One that runs alone, for all tests of a module."""
    box = Sandbox()
    with BrokerProcess(box) as broker:
        yield broker
    left = box.close()
    assert not left, left


@pytest.fixture
def broker_of_people(people: People) -> Iterator[BrokerOfPeople]:
    """The broker's process, with secrets in its environment."""
    broker = BrokerOfPeople(people, JUPYTERHUB_API_TOKEN=TOKEN, FARCELL_BROKER_DATABASE="postgresql://b:secret@db/leases")
    yield broker
    for host in broker.started:
        broker("end", host=host)
    broker.close()
