"""The database: its schema and the way to it, what happens when it is gone, and that the audit log is only added to."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from farcell_broker.audit import BROKER, Audit
from farcell_broker.database import Database
from farcell_broker.errors import DatabaseError
from farcell_broker.lease import State
from farcell_broker.migrate import config
from farcell_broker.schema import REVISIONS, VERSION_TABLE, Base
from leasing import NOON, Office
from services.postgres import Postgres
from sqlalchemy import text


@pytest.fixture
def own_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """Brought back when the test has stopped it."""
    yield postgres
    postgres.start()


def test_the_known_revisions_are_those_that_are_shipped() -> None:
    """In one line, oldest first: what is not among them is a newer farcell's."""
    script = ScriptDirectory.from_config(config())
    assert [each.revision for each in script.walk_revisions()][::-1] == list(REVISIONS)


def test_the_migrations_lead_to_the_tables_that_are_used(database: Database) -> None:
    """Alembic finds nothing that it would still have to change."""
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_another_program_s_tables_are_left_alone(database: Database) -> None:
    """A hub's database can hold the broker's tables too."""
    engine = database._engine
    if database.kind == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE users (name varchar)"))
            connection.execute(text("CREATE TABLE alembic_version (version_num varchar)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('abc')"))
    Office(database).start("ada")
    with database.reading() as connection:
        found = set(connection.execute(text(_TABLES[database.kind])).scalars())
    assert {"broker_schema", "broker_leases"} <= {name for name in found if name.startswith("broker_")}


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


def test_a_database_of_a_newer_farcell_is_refused_and_left_alone(url: str) -> None:
    """With the words that say what to do."""
    first = Database(url)
    first.prepare()
    with first.appending() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0099'"))
    first.close()
    second = Database(url)
    with pytest.raises(
        DatabaseError, match=rf"written by a newer farcell-broker \(schema 0099; this one knows up to {REVISIONS[-1]}\)"
    ):
        second.prepare()
    second.close()


def test_several_that_start_at_once_make_the_tables_once(url: str) -> None:
    """Under a lock; each then finds them there."""
    databases = [Database(url) for _ in range(6)]
    faults: list[BaseException] = []
    line = threading.Barrier(len(databases))

    def start(database: Database) -> None:
        line.wait()
        try:
            database.prepare()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for database in databases:
        database.close()


def test_the_file_is_nobody_else_s(tmp_path: Path) -> None:
    """It says who uses what; SQLite gives its journals the same mode."""
    office = Office.at(f"sqlite:///{tmp_path / 'new folder' / 'broker.sqlite'}")
    office.ask("ada")
    files = list((tmp_path / "new folder").iterdir())
    assert len(files) >= 1 and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    office.database.close()


def test_a_password_is_in_no_message(own_postgres: Postgres) -> None:
    """Neither when the server cannot be reached nor when it refuses."""
    with own_postgres.database() as url:
        wrong = Database(url.replace(own_postgres.password, "s3cret"))
        with pytest.raises(DatabaseError) as caught:
            wrong.prepare()
        assert "s3cret" not in str(caught.value) and "farcell:***@" in wrong.name
        wrong.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "no url"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    """Before anything is opened."""
    with pytest.raises(DatabaseError):
        Database(url)


def test_leases_go_on_when_the_database_comes_back(own_postgres: Postgres) -> None:
    """While it is gone each call says so, as something that passes; afterwards all is as it was."""
    with own_postgres.database() as url:
        office = Office.at(url)
        lease = office.start("ada", 8)
        waiting = office.ask("ben")
        own_postgres.stop()
        for call in (lambda: office.ask("cyd"), office.leases.grant, lambda: office.leases.get(lease.id), office.leases.due):
            with pytest.raises(DatabaseError) as caught:
                call()
            assert caught.value.is_passing and own_postgres.password not in str(caught.value)
        own_postgres.start()
        assert office.leases.get(lease.id).state is State.RUNNING
        office.end(lease)
        [granted] = office.leases.grant()
        assert granted.id == waiting.id and granted.fence > lease.fence
        office.database.close()


def test_the_audit_log_tells_a_lease_s_whole_life(office: Office) -> None:
    """Who did what, the newest first; by page, by whom, by what."""
    lease = office.start("ada", 2, notebook="a.ipynb")
    office.leases.cancel(office.who("ada"), lease.id)
    office.passes(1)
    office.leases.freed(lease.id, lease.fence)
    audit = Audit(office.database, office.clock)
    audit.record("root", "policy.read", path="/etc/x")
    entries = audit.entries()
    assert [(entry.who, entry.action) for entry in entries] == [
        ("root", "policy.read"),
        (BROKER, "lease.ended"),
        ("ada", "lease.released"),
        (BROKER, "lease.granted"),
        ("ada", "lease.asked"),
    ]
    assert entries[3].detail == {"user": "ada", "devices": [0, 1], "fence": lease.fence, "isolation": "account"}
    assert (entries[1].lease_id, entries[1].target, entries[1].at) == (lease.id, "pool", NOON + 3600)
    assert audit.entries(limit=2, before=entries[1].id) == entries[2:4]
    assert audit.entries(who="ada", action="lease.*") == [entries[2], entries[4]]
    assert audit.entries(lease_id=lease.id, since=NOON + 1) == [entries[1]]


@pytest.mark.parametrize("statement", ["UPDATE broker_audit SET who = 'eve'", "DELETE FROM broker_audit"])
def test_the_audit_log_is_only_added_to(database: Database, statement: str) -> None:
    """The database itself refuses anything else."""
    audit = Audit(database, lambda: NOON)
    audit.record("ada", "tried")
    with pytest.raises(DatabaseError, match="the audit log is only added to"), database.appending() as connection:
        connection.execute(text(statement))
    assert [entry.who for entry in audit.entries()] == ["ada"]


def test_what_fails_in_the_middle_is_not_in_memory_either(small_office: Office) -> None:
    """The next call sees what the database has."""
    small_office.ask("ada")

    class Failed(Exception):
        pass

    with pytest.raises(Failed), small_office.leases._changing() as change:
        [row] = small_office.leases._mirror.waiting("pool").values()
        change.grant(row, devices=[0], ends_at=None)
        raise Failed
    assert small_office.queue() == ["ada"] and small_office.granted() == ["ada"]
