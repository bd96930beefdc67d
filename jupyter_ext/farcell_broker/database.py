"""The broker's database: SQLite in a file, or PostgreSQL. Every change of leases is serial, in one short transaction each.

Whoever changes something holds one lock from beginning to commit: SQLite's write lock (BEGIN IMMEDIATE), PostgreSQL's lock
of the one row in broker_state (SELECT ... FOR UPDATE). Under it numbers are given, which therefore grow in the order of the
commits: they are fences, and by them another process knows what has changed since it looked last.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from farcell.ledger.filesystems import is_local
from farcell.ledger.lock import file_lock
from farcell.ledger.place import close_to_others, make_file, make_folder
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text, update
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from .errors import DatabaseError
from .lead import FileLead, Lead, LockLead
from .schema import REVISIONS, STATE, VERSION_TABLE, StateRow

_WRITES = "farcell_writes"
_ADVISORY_LOCK = 0x66617263
"""Of PostgreSQL, while migrating: "farc"."""
_ALONE_LOCK = _ADVISORY_LOCK + 1
"""The first of two keys, which PostgreSQL keeps apart from locks of one key."""
_ALONE = text("SELECT pg_advisory_xact_lock(:kind, hashtext(:name))")


_LAST = select(StateRow.value).where(StateRow.name == STATE)
_LOCKED = _LAST.with_for_update()
_KEEP = update(StateRow).where(StateRow.name == STATE)


class Writing:
    """A transaction that changes something; holds the lock."""

    def __init__(self, connection: Connection, last: int, now: float) -> None:
        self.connection = connection
        self.last, self._now = last, now
        self.changed = False

    def number(self) -> int:
        """One that has never been given before, greater than all that have been.

        Not less than the time in milliseconds, so that it holds too after the database was restored from a copy.
        """
        self.last = max(self.last + 1, int(self._now * 1000))
        self.changed = True
        return self.last

    def keep_number(self) -> None:
        self.connection.execute(_KEEP, {"value": self.last})


class Database:
    """One database, from any thread. `url` is SQLAlchemy's: `sqlite:////path/to/file`, `postgresql://user@host/name`.

    `busy_s`: the longest wait for other writers; then DatabaseError, as for everything else that goes wrong.
    """

    def __init__(self, url: str, *, busy_s: float = 30.0, connections: int = 8) -> None:
        self._url = _understood(url)
        self._busy_s = busy_s
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = self._sqlite(connections) if self._is_sqlite else self._postgres(connections)
        self._ready = False
        self._preparing = threading.Lock()

    @property
    def name(self) -> str:
        """For messages: without the password."""
        return str(self._url.database) if self._is_sqlite else self._url.render_as_string(hide_password=True)

    @property
    def kind(self) -> str:
        return "sqlite" if self._is_sqlite else "postgresql"

    def prepare(self) -> None:
        """Makes the tables, or brings them up to date, while no other process does; refuses those of a newer farcell."""
        with self._preparing, self._faults():
            if not self._ready:
                if self._is_sqlite:
                    path = Path(str(self._url.database))
                    make_folder(path)
                    make_file(path)
                    close_to_others(path, 0o600)
                    self._set_journal_mode(path)
                self._migrate()
                self._ready = True

    def close(self) -> None:
        """Ends all connections; the next use opens new ones."""
        self._engine.dispose()

    @contextmanager
    def writing(self, now: float) -> Iterator[Writing]:
        """Under the lock; committed at the end, or nothing of it after an exception."""
        self.prepare()
        with self._faults(), self._transaction(writes=True) as connection:
            last = connection.execute(_LAST if self._is_sqlite else _LOCKED).scalar_one()
            writing = Writing(connection, last, now)
            yield writing
            if writing.changed:
                writing.keep_number()

    @contextmanager
    def appending(self, alone: str | None = None) -> Iterator[Connection]:
        """Committed without the lock of leases: for what decides nothing, or only about what is `alone`, whose transactions wait
        for each other (SQLite's do anyway)."""
        self.prepare()
        with self._faults(), self._transaction(writes=True) as connection:
            if alone is not None and not self._is_sqlite:
                connection.execute(_ALONE, {"kind": _ALONE_LOCK, "name": alone})
            yield connection

    def lead(self) -> Lead:
        """Not taken yet."""
        self.prepare()
        if self._is_sqlite:
            return FileLead(Path(f"{self._url.database}.lead"))
        return LockLead(self._engine, self._faults)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        self.prepare()
        with self._faults(), self._transaction() as connection:
            yield connection

    def _set_journal_mode(self, path: Path) -> None:
        """Under a lock: of two that change it at once, SQLite tells one that the file is locked, and does not let it wait."""
        wanted = "wal" if is_local(path) else "delete"
        with file_lock(path.with_name(f"{path.name}.lock"), self._busy_s), contextlib.closing(self._connect()) as connection:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
                connection.execute(f"PRAGMA journal_mode = {wanted}")

    def _migrate(self) -> None:
        with self._transaction() as connection:
            if self._revision(connection) == REVISIONS[-1]:
                return
        from .migrate import upgrade  # alembic: only when there is something to do

        with self._transaction(writes=True) as connection:
            if not self._is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            if self._revision(connection) != REVISIONS[-1]:  # another process may have done it meanwhile
                upgrade(connection)

    def _revision(self, connection: Connection) -> str | None:
        """None without our tables. Raises DatabaseError for a revision that this farcell does not know."""
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
        if found is not None and found not in REVISIONS:
            raise DatabaseError(
                f"The database {self.name} was written by a newer farcell-broker (schema {found}; this one knows up to "
                f"{REVISIONS[-1]}), and is left alone. Update farcell here, or restore the copy from before the update."
            )
        return found

    def _sqlite(self, connections: int) -> Engine:
        engine = create_engine(
            "sqlite:///farcell", creator=self._connect, pool_size=connections, max_overflow=4, pool_timeout=self._busy_s
        )

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get(_WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _connect(self) -> sqlite3.Connection:
        path = Path(str(self._url.database))
        # mode=rw: SQLite would make a file that others can read; ours is made by make_file. No implicit transactions.
        connection = sqlite3.connect(
            f"file:{quote(str(path).encode('utf-8', 'surrogateescape'))}?mode=rw",
            uri=True,
            timeout=self._busy_s,
            isolation_level=None,
            check_same_thread=False,
        )
        # A grant that was told must outlive a loss of power: its fence may be with a host already.
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _postgres(self, connections: int) -> Engine:
        return create_engine(
            self._url,
            pool_size=connections,
            max_overflow=4,
            pool_timeout=self._busy_s,
            pool_pre_ping=True,  # a server that was restarted has closed what the pool holds
            # A network that is cut is noticed by both sides in half a minute, so that the lead is not held by who cannot use it.
            connect_args={
                "connect_timeout": 5,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
                "options": f"-c lock_timeout={int(self._busy_s * 1000)} -c tcp_keepalives_idle=15 "
                # What was sent when the link was cut is sent again and again, and nothing else is asked meanwhile.
                "-c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000",
            },
        )

    @contextmanager
    def _transaction(self, writes: bool = False) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            if self._is_sqlite:
                connection.execution_options(**{_WRITES: writes})
            else:
                # Written under a lock, each statement sees all that was committed before; read, all see the same.
                connection.execution_options(isolation_level="READ COMMITTED" if writes else "REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """The border at which others' exceptions become ours."""
        try:
            yield
        except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
            cause = getattr(error, "orig", None) or error
            words = " ".join(str(cause).split())
            is_passing = isinstance(error, (OperationalError, PoolTimeout, sqlite3.OperationalError)) or (
                isinstance(error, DBAPIError) and error.connection_invalidated
            )
            then = "It is tried again." if is_passing else "Nothing was written; the broker's log has more."
            raise DatabaseError(f"The database {self.name} cannot be used: {words}. {then}", is_passing) from error
        except SQLAlchemyError as error:
            raise DatabaseError(f"The database {self.name} cannot be used: {error}.") from error
        except TimeoutError as error:
            raise DatabaseError(f"The database {self.name} cannot be used: {error}. It is tried again.", True) from error
        except OSError as error:
            raise DatabaseError(
                f"The database {self.name} cannot be opened: {error.strerror or error}. Make its folder writable to the broker."
            ) from error


def _understood(url: str) -> URL:
    try:
        made = make_url(url)
    except ArgumentError:
        raise DatabaseError(
            "The database's URL is not one: write sqlite:////var/lib/farcell/broker.sqlite or postgresql://user@host/name."
        ) from None
    if made.drivername in ("postgresql", "postgres"):
        return made.set(drivername="postgresql+psycopg")
    if made.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseError(f"The database must be SQLite or PostgreSQL, not {made.get_backend_name()}.")
    if made.get_backend_name() == "sqlite" and made.database in (None, "", ":memory:"):
        raise DatabaseError("SQLite's URL needs a file: sqlite:////var/lib/farcell/broker.sqlite")
    return made


Clock = Callable[[], float]
Rows = list[dict[str, Any]]
