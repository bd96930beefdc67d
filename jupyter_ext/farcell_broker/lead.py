"""Of several brokers on one database one leads: it alone grants, starts, watches, warns and ends. All answer and relay.

The lead is a lock that ends with its process, or with its connection to PostgreSQL, so that another broker takes it up at once
and no clock decides. It is asked for again before each look: what was lost with a connection is not believed in.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text

LOCK = 0x66617264
"""Of PostgreSQL: "fard"."""
_TRY = text("SELECT pg_try_advisory_lock(:key)")
_STILL = text("SELECT 1")


class Lead(Protocol):
    """From any thread."""

    def take(self) -> bool:
        """Whether it is this process's now. Raises DatabaseError while that cannot be told; then it is not."""

    def close(self) -> None:
        """Gives it up; safe to call twice."""


class FileLead:
    """Beside SQLite's file: a lock of the system's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> bool:
        if self._fd is not None:
            return True
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class LockLead:
    """A lock of PostgreSQL's that a connection of its own holds."""

    def __init__(self, engine: Engine, faults: Callable[[], AbstractContextManager[None]]) -> None:
        self._engine, self._faults = engine, faults
        self._connection: Connection | None = None
        self._one = threading.Lock()

    def take(self) -> bool:
        with self._one, self._faults():
            held = self._connection
            try:
                if held is not None:
                    held.execute(_STILL)
                    return True
                self._connection = self._try()
                return self._connection is not None
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        with self._one:
            self._drop()

    def _try(self) -> Connection | None:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            if connection.execute(_TRY, {"key": LOCK}).scalar_one():
                connection.detach()  # the pool would keep the lock with it
                return connection
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        connection.close()
        return None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
