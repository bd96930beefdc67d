"""Shares in the database: who is told of them, and when they are forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from farcell_broker import shares
from farcell_broker.audit import Audit
from farcell_broker.database import Database
from farcell_broker.errors import NoSuchShare, Refused
from farcell_broker.lease import Who
from farcell_broker.shares import Shares

HELLO = [{"output_type": "stream", "name": "stdout", "text": "hello\n"}]
ADA, BOB, EVE, ROOT = Who("ada"), Who("bob"), Who("eve"), Who("root", is_admin=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_share_is_seen_by_whom_it_is_for_and_by_nobody_else(database: Database, clock: Clock) -> None:
    """Administrators may end it, and learn of it from the audit log."""
    kept = Shares(database, clock)
    share = kept.open(ADA, ["bob", "cyd", "bob"], "r1", HELLO, target="pool")
    assert share.readers == ("bob", "cyd")
    assert [each.id for each in kept.of(BOB)] == [share.id] and kept.of(BOB)[0].readers == ("bob",)
    assert kept.read(BOB, share.id).outputs == kept.read(ADA, share.id).outputs == HELLO
    for who in (EVE, ROOT):
        assert kept.of(who) == []
        with pytest.raises(NoSuchShare):
            kept.read(who, share.id)
    for who in (BOB, EVE):
        with pytest.raises(NoSuchShare):
            kept.end(who, share.id)
    kept.end(ROOT, share.id)
    with pytest.raises(NoSuchShare):
        kept.read(ADA, share.id)
    told = [(entry.who, entry.action, entry.detail) for entry in Audit(database, clock).entries()]
    assert told == [
        ("root", "share.ended", {"share": share.id, "run": "r1", "owner": "ada"}),
        ("bob", "share.read", {"share": share.id, "run": "r1", "owner": "ada"}),
        ("ada", "share.opened", {"share": share.id, "run": "r1", "readers": ["bob", "cyd"], "expires_at": share.expires_at}),
    ]


def test_a_share_expires_and_its_outputs_are_forgotten(database: Database, clock: Clock) -> None:
    kept = Shares(database, clock)
    share = kept.open(ADA, ["bob"], "r1", HELLO, lasts_s=60)
    assert kept.open(ADA, ["bob"], "r2", HELLO, lasts_s=1e9).expires_at == clock.now + shares.LONGEST_S
    clock.now += 60
    assert [each.run for each in kept.of(BOB)] == ["r2"]
    with pytest.raises(NoSuchShare):
        kept.read(BOB, share.id)
    kept.open(ADA, ["bob"], "r3", HELLO)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM broker_shares").scalar_one() == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM broker_share_readers").scalar_one() == 2


def test_a_share_has_a_greatest_size_and_an_owner_a_greatest_number(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Shares(database, clock)
    with pytest.raises(Refused, match=r"The outputs are 2048 KiB, and at most 2048 KiB of a run can be shared\."):
        kept.open(ADA, ["bob"], "r1", [{**HELLO[0], "text": "x" * shares.MOST_BYTES}])
    monkeypatch.setattr(shares, "MOST_SHARES", 2)
    for run in ("r1", "r2"):
        kept.open(ADA, ["bob"], run, HELLO)
    with pytest.raises(Refused, match="You have 2 shares already"):
        kept.open(ADA, ["bob"], "r3", HELLO)
    kept.open(BOB, ["ada"], "r3", HELLO)


def test_an_owner_s_greatest_number_holds_among_shares_that_are_opened_at_once(
    database: Database, url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By two brokers, too; another owner is not held up by it."""
    monkeypatch.setattr(shares, "MOST_SHARES", 5)
    other = Database(url)
    kept = [Shares(each, clock) for each in (database, other)]
    begin = Barrier(10)

    def opened(number: int) -> bool:
        begin.wait(30)
        try:
            kept[number % 2].open(ADA, ["bob"], f"r{number}", HELLO)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(opened, range(10))) == 5
    assert len(kept[0].of(ADA)) == 5
    kept[1].open(BOB, ["ada"], "r", HELLO)
    other.close()
