"""The schema, and the way to it from every earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from farcell.ledger import Ledger
from farcell.ledger.migrate import config
from farcell.ledger.schema import REVISIONS, Base
from ledgers import HOUR, NOON, at_revision, is_whole, job, session, sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool


def revision(path: Path) -> str:
    return str(sql(path, "SELECT version_num FROM alembic_version")[0][0])


def columns(path: Path, table: str) -> set[str]:
    return {row[1] for row in sql(path, f"PRAGMA table_info({table})")}


def test_the_known_revisions_are_those_that_are_shipped() -> None:
    """In one line, oldest first: what is not among them is a newer farcell's."""
    script = ScriptDirectory.from_config(config())
    assert [each.revision for each in script.walk_revisions()][::-1] == list(REVISIONS)
    assert script.get_heads() == [REVISIONS[-1]]


def test_the_migrations_lead_to_the_tables_that_are_used(tmp_path: Path) -> None:
    """Alembic finds nothing that it would still have to change."""
    at_revision(tmp_path / "ledger.sqlite", "head")
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}", poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize("old", REVISIONS[:-1])
def test_an_earlier_ledger_is_brought_up_to_date_and_loses_nothing(old: str, tmp_path: Path) -> None:
    """Also by one who only asks."""
    path = tmp_path / "ledger.sqlite"
    at_revision(path, old)
    assert revision(path) == old and "said_by" not in columns(path, "runs")
    sql(
        path,
        "INSERT INTO jobs (id, seen, stamps, target, started, ended) VALUES ('j0', ?, '{}', 'a100', ?, ?)",
        NOON,
        NOON,
        NOON + HOUR,
    )
    sql(path, "INSERT INTO sessions (id, seen, stamps, job_id, price_per_hour) VALUES ('s0', ?, '{}', 'j0', 2.5)", NOON)
    ledger = Ledger(path)
    [row] = ledger.usage()
    assert (row.key, row.seconds, row.cost) == ("a100", HOUR, 2.5)
    assert revision(path) == REVISIONS[-1] and is_whole(path)
    assert ledger.record(job("j0", as_of=NOON + 1, gpus=2))
    assert ledger.usage()[0].gpu_seconds == 2 * HOUR


def test_a_ledger_of_a_newer_farcell_is_only_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One message, however often something is reported; its contents can be asked for and do not change."""
    path = tmp_path / "ledger.sqlite"
    assert Ledger(path).record(session(ended=NOON + HOUR))
    sql(path, "UPDATE alembic_version SET version_num = '0099'")
    sql(path, "ALTER TABLE sessions ADD COLUMN mood VARCHAR")
    ledger = Ledger(path)
    assert [row.seconds for row in ledger.usage()] == [HOUR]
    assert not ledger.record(session("s2")) and not ledger.record(session("s3"))
    assert [row[0] for row in sql(path, "SELECT id FROM sessions")] == ["s1"]
    [said] = caplog.records
    assert (said.name, said.levelname) == ("farcell", "WARNING")
    assert said.getMessage() == (
        f"The ledger {path} was written by a newer farcell (schema 0099; this one knows up to 0004), and is only read here. "
        "Update farcell to record again. Runs go on; what they use is not recorded meanwhile."
    )


def test_a_ledger_that_becomes_newer_meanwhile_is_noticed(tmp_path: Path) -> None:
    """Another kernel of a newer farcell may bring it further at any time."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    assert ledger.record(session())
    sql(path, "UPDATE alembic_version SET version_num = '0099'")
    assert not ledger.record(session("s2"))
    assert len(sql(path, "SELECT id FROM sessions")) == 1


def test_a_migration_that_fails_leaves_the_schema_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of it is undone, and the rows are still there."""
    path = tmp_path / "ledger.sqlite"
    at_revision(path, "0001")
    sql(path, "ALTER TABLE jobs ADD COLUMN price_per_hour FLOAT")  # what the migration adds second
    assert not Ledger(path).record(session())
    assert revision(path) == "0001" and "gpus" not in columns(path, "jobs")
    assert "duplicate column name: price_per_hour" in caplog.text
