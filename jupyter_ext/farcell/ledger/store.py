"""The ledger's file through SQLAlchemy: made, brought up to date, written and read. Raises LedgerError, and nothing else for a
fault of the file.

A connection lives for one transaction, so a kernel that is forked, stopped or killed holds nothing; what it had not committed is
gone whole. Writers take the file's lock at the beginning (`BEGIN IMMEDIATE`): a transaction that began to read and then wants
to write would be refused at once, without waiting.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Engine, and_, create_engine, event, func, or_, select, union
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from . import faults
from .accounts import UNKNOWN, RunFilter
from .filesystems import MOUNTS, is_local
from .lock import file_lock
from .place import close_to_others, identity, make_file, make_folder
from .reports import NOTHING, Record, Report, Table, merged, storable
from .schema import APPLICATION_ID, REVISIONS, JobRow, RunRow, SessionRow

Rows = list[dict[str, Any]]
_Row = SessionRow | JobRow | RunRow
_TABLES: dict[Table, type[SessionRow] | type[JobRow] | type[RunRow]] = {"sessions": SessionRow, "jobs": JobRow, "runs": RunRow}
_IDS_A_QUERY = 500  # SQLite takes 999 at least
_WRITES = "farcell_writes"


class Store:
    """One file. From any thread; `busy_s` is the longest wait for another writer, `lock_s` for another that migrates."""

    def __init__(self, path: Path, *, mounts: Path = MOUNTS, busy_s: float, lock_s: float) -> None:
        self.path = path
        self.lock = path.with_name(path.name + ".lock")
        self._mounts, self._busy_s, self._lock_s = mounts, busy_s, lock_s
        self._engine = self._make_engine()
        self._ready: tuple[int, int] | None = None
        self._newer: str | None = None
        self._preparing = threading.Lock()

    def write(self, reports: Iterable[Report]) -> None:
        """Merges the reports with what is known, all or none of them; raises LedgerError."""
        with self._faults():
            self._prepare()
            with self._transaction(writes=True) as connection, Session(connection, autoflush=False) as session:
                # Each time: another process may have brought it further than this one knows.
                self._newer = _unknown_revision(connection)
                if self._newer is not None:
                    raise faults.newer(str(self.path), self._newer, REVISIONS[-1])
                wanted = list(reports)
                rows = _rows_of(session, wanted)
                for report in wanted:
                    _upsert(session, rows, report)
                session.commit()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One consistent view; raises LedgerError."""
        with self._faults():
            try:
                self._prepare()
            except (OSError, sqlite3.Error, SQLAlchemyError):
                # Where nothing can be written there is no lock and no migration; what is there may be readable all the same.
                if identity(self.path) is None:
                    raise
            with self._transaction() as connection:
                self._newer = _unknown_revision(connection)
                yield Reading(connection)

    def _prepare(self) -> None:
        """Makes the file or brings it up to date when it is not the one that was seen last."""
        with self._preparing:
            if self._ready is not None and self._ready == identity(self.path):
                return
            make_folder(self.path)
            try:
                with file_lock(self.lock, self._lock_s):
                    make_file(self.path)
                    self._set_journal_mode()
                    self._migrate()
            except TimeoutError as error:
                raise faults.locked(str(self.path), str(self.lock), self._lock_s) from error
            close_to_others(self.path, 0o600)
            self._ready = identity(self.path)

    def _set_journal_mode(self) -> None:
        """A write-ahead log on a filesystem of this machine, else the rollback journal; a file that was moved changes over."""
        wanted = "wal" if is_local(self.path, self._mounts) else "delete"
        with contextlib.closing(self._connect()) as connection:
            if wanted == "delete":
                # Before the first access: a log that is there is then read without shared memory (sqlite.org/wal.html, 8).
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if not is_empty and connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise faults.foreign(str(self.path))
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
                connection.execute(f"PRAGMA journal_mode = {wanted}")

    def _migrate(self) -> None:
        with self._transaction() as connection:
            if _revision(connection) == REVISIONS[-1] or _unknown_revision(connection) is not None:
                return
        from .migrate import upgrade  # alembic: only when there is something to do

        with self._transaction(writes=True) as connection:
            upgrade(connection)

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: SQLite would make a file that others can read; ours is made by make_file. No implicit transactions.
        return sqlite3.connect(
            f"file:{quote(str(self.path).encode('utf-8', 'surrogateescape'))}?mode=rw",
            uri=True,
            timeout=self._busy_s,
            isolation_level=None,
            check_same_thread=False,
        )

    def _make_engine(self) -> Engine:
        engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get(_WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    @contextmanager
    def _transaction(self, writes: bool = False) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.execution_options(**{_WRITES: writes}).begin():
            yield connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """The border at which others' exceptions become ours."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = getattr(error, "orig", None) or error
            if not isinstance(cause, sqlite3.Error):
                raise
            if self._newer is not None and "no such" in str(cause):
                raise faults.unknown_columns(str(self.path), self._newer, str(cause)) from error
            raise faults.of_sqlite(str(self.path), cause, self._busy_s) from error
        except OSError as error:
            raise faults.of_system(str(self.path), error) from error


class Reading:
    """Rows of one moment, as dictionaries by column."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sessions_and_jobs(self, since: float | None = None, until: float | None = None) -> tuple[Rows, Rows]:
        """Those that may have lived in the window, with each other's; a session's `seen` includes its runs'."""
        own, granted = _overlaps(SessionRow, since, until), _overlaps(JobRow, since, until)
        ids: CompoundSelect[Any] = union(
            select(JobRow.id).where(granted), select(SessionRow.job_id).where(own, SessionRow.job_id.is_not(None))
        )
        jobs = self._rows(JobRow, JobRow.id.in_(ids))
        sessions = self._rows(SessionRow, or_(own, SessionRow.job_id.in_(ids)))
        open_ones = select(SessionRow.id).where(SessionRow.ended.is_(None))
        last = (
            select(RunRow.session_id, func.max(RunRow.seen)).where(RunRow.session_id.in_(open_ones)).group_by(RunRow.session_id)
        )
        heard = {row[0]: row[1] for row in self._connection.execute(last)}
        for row in sessions:
            row["seen"] = max(row["seen"], heard.get(row["id"], -math.inf))
        return sessions, jobs

    def runs(self, since: float | None = None, until: float | None = None) -> Rows:
        """Those that have started and may have run in the window."""
        conditions: list[ColumnElement[bool]] = [RunRow.started.is_not(None)]
        if until is not None:
            conditions.append(RunRow.started < until)
        if since is not None:
            ended = RunRow.started + func.coalesce(RunRow.seconds, func.coalesce(RunRow.ended, RunRow.seen) - RunRow.started)
            conditions.append(or_(RunRow.started >= since, ended > since))
        return self._rows(RunRow, *conditions)

    def run(self, run: str) -> dict[str, Any] | None:
        """One run, by its id or the beginning of it."""
        return next(iter(self._rows(RunRow, RunRow.id.startswith(storable(run), autoescape=True))), None)

    def page(self, limit: int, before: tuple[float, str] | None, wanted: RunFilter) -> Rows:
        """Runs, the newest first, each with `at`, by which they are ordered; `before` has `at` and id of the last one known."""
        at = func.coalesce(RunRow.started, RunRow.seen)
        conditions: list[ColumnElement[bool]] = []
        if before is not None:
            conditions.append(or_(at < before[0], and_(at == before[0], RunRow.id < storable(before[1]))))
        if wanted.target is not None:
            conditions.append(func.coalesce(SessionRow.target, JobRow.target, UNKNOWN) == storable(wanted.target))
        if wanted.session is not None:
            conditions.append(RunRow.session_id == storable(wanted.session))
        if wanted.state is not None:
            conditions.append(RunRow.state == storable(wanted.state))
        columns = [column for column in RunRow.__table__.columns if column.name != "stamps"]
        query = select(*columns, at.label("at")).select_from(RunRow)
        if wanted.target is not None:
            query = query.outerjoin(SessionRow, SessionRow.id == RunRow.session_id)
            query = query.outerjoin(JobRow, JobRow.id == SessionRow.job_id)
        query = query.where(*conditions).order_by(at.desc(), RunRow.id.desc()).limit(limit)
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def _rows(self, table: type[SessionRow] | type[JobRow] | type[RunRow], *conditions: ColumnElement[bool]) -> Rows:
        columns = [column for column in table.__table__.columns if column.name != "stamps"]
        return [dict(row) for row in self._connection.execute(select(*columns).where(*conditions)).mappings()]


def _revision(connection: Connection) -> str | None:
    """None in an empty file."""
    if not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
        return None
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def _unknown_revision(connection: Connection) -> str | None:
    """The schema's revision when it is not one that this farcell knows."""
    revision = _revision(connection)
    return None if revision is None or revision in REVISIONS else revision


def _overlaps(table: type[SessionRow] | type[JobRow], since: float | None, until: float | None) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [table.id.is_not(None)]
    if since is not None:
        conditions.append(or_(table.ended.is_(None), table.ended >= since))
    if until is not None:
        conditions.append(or_(table.started.is_(None), table.started < until))
    return and_(*conditions)


def _rows_of(session: Session, reports: Sequence[Report]) -> dict[tuple[Table, str], _Row]:
    """What there is of them, by a few queries: a cell that runs meanwhile waits for this thread's turns with the interpreter."""
    ids: dict[Table, list[str]] = {}
    for report in reports:
        ids.setdefault(report.table, []).append(storable(report.id))
    rows: dict[tuple[Table, str], _Row] = {}
    for name, wanted in ids.items():
        table: Any = _TABLES[name]
        for start in range(0, len(wanted), _IDS_A_QUERY):
            found = session.scalars(select(table).where(table.id.in_(wanted[start : start + _IDS_A_QUERY])))
            rows.update({(name, row.id): row for row in found})
    return rows


def _upsert(session: Session, rows: dict[tuple[Table, str], _Row], report: Report) -> None:
    key = report.table, storable(report.id)
    row = rows.get(key)
    if row is None:
        row, known = _TABLES[report.table](id=key[1]), NOTHING
        rows[key] = row
        session.add(row)
    else:
        values = {name: getattr(row, name) for name in report.names() if getattr(row, name) is not None}
        known = Record(values, {name: (bool(stamp[0]), stamp[1]) for name, stamp in row.stamps.items()}, row.seen)
    record = merged(known, report)
    for name, value in record.values.items():
        setattr(row, name, value)
    row.stamps = {name: [int(is_final), as_of] for name, (is_final, as_of) in sorted(record.stamps.items())}
    row.seen = record.seen
