"""Journals of hosts that are gone, in the database: whose they are, for how long, and how many."""

from __future__ import annotations

import pytest
from farcell_broker import journals
from farcell_broker.database import Database
from farcell_broker.errors import NoSuchLease
from farcell_broker.journals import Journals
from farcell_broker.lease import Who
from farcell_broker.reading import Journal
from leasing import Clock
from lending import lease

ADA, BOB, ROOT = Who("ada"), Who("bob"), Who("root", is_admin=True)
JOURNAL = Journal(("run1", "run2"), b"bytes of it" * 1000, True, ("kept",))


def test_a_journal_is_its_users_alone_and_kept_for_a_time(database: Database) -> None:
    clock = Clock()
    kept = Journals(database, clock)
    kept.keep(lease("ada", id="of-ada"), JOURNAL, 60.0)
    [found] = kept.of(ADA)
    assert (found.lease_id, found.runs, found.saved, found.is_whole) == ("of-ada", ("run1", "run2"), ("kept",), True)
    assert found.data is None and len(kept.read(ADA, "of-ada").data or b"") < 1000
    for who in (BOB, ROOT):
        assert kept.of(who) == []
        with pytest.raises(NoSuchLease):
            kept.read(who, "of-ada")
        kept.forget(who, "of-ada")
    assert len(kept.of(ADA)) == 1
    kept.keep(lease("ada", id="of-ada"), Journal(("run2",), b"", False), 60.0)
    assert [each.runs for each in kept.of(ADA)] == [("run2",)]
    clock.now += 60
    assert kept.of(ADA) == []
    with pytest.raises(NoSuchLease):
        kept.read(ADA, "of-ada")
    kept.keep(lease("bob", id="of-bob"), JOURNAL, 60.0)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM broker_journals").scalar_one() == 1
    kept.forget(BOB, "of-bob")
    assert kept.of(BOB) == []


def test_the_oldest_of_many_is_forgotten_for_the_newest(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    kept = Journals(database, clock)
    monkeypatch.setattr(journals, "MOST", 2)
    for number in range(4):
        clock.now += 1
        kept.keep(lease("ada", id=f"lease{number}"), JOURNAL, 60.0)
    kept.keep(lease("bob"), JOURNAL, 60.0)
    assert [each.lease_id for each in kept.of(ADA)] == ["lease3", "lease2"]
