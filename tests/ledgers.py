"""Ledgers, and reports to them, in words a test can be read in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from farcell.ledger import JobReport, Ledger, RunReport, SessionReport

HOUR = 3600.0
DAY = 24 * HOUR
NOON = 1_800_014_400.0
"""2027-01-15 12:00 UTC."""


def session(id: str = "s1", as_of: float = NOON, **values: Any) -> SessionReport:
    return SessionReport(id=id, as_of=as_of, **{"target": "gpu-a", "started": NOON, **values})


def job(id: str = "j1", as_of: float = NOON, **values: Any) -> JobReport:
    return JobReport(id=id, as_of=as_of, **{"target": "a100", **values})


def run(id: str = "r1", as_of: float = NOON, **values: Any) -> RunReport:
    return RunReport(id=id, as_of=as_of, **{"session_id": "s1", "started": NOON, **values})


def at_revision(path: Path, revision: str) -> None:
    """Makes a ledger as the farcell left it whose last schema this was."""
    from farcell.ledger.migrate import upgrade
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        upgrade(connection, revision)


def sql(path: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Runs one statement on the file, behind the ledger's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def is_whole(path: Path) -> bool:
    return sql(path, "PRAGMA integrity_check") == [("ok",)]


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is known, in an order of its own."""
    return {table: sorted(sql(path, f"SELECT * FROM {table}")) for table in ("sessions", "jobs", "runs")}


def totals(ledger: Ledger) -> tuple[Any, ...]:
    return tuple(tuple(ledger.usage(by=by)) for by in ("target", "day", "notebook"))
