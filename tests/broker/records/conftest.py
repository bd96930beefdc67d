"""A database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from farcell_broker.database import Database
from leasing import Office
from services.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database; every test that uses it runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'broker.sqlite'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.close()


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


@pytest.fixture
def small_office(tmp_path: Path) -> Iterator[Office]:
    """On SQLite only: for what the kind of the database has nothing to do with."""
    made = Database(f"sqlite:///{tmp_path / 'broker.sqlite'}")
    yield Office(made)
    made.close()
