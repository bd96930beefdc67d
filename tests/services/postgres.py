"""A PostgreSQL server of the tests' own, reached by a Unix socket in its folder, or at the far end of a `Link`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import ClassVar

from services.network import Link
from services.service import Service


class Postgres(Service):
    """One server; each test has a database of its own in it. `link`: the server is in its 'cluster'."""

    script: ClassVar[str] = "postgres.sh"

    def __init__(self, link: Link | None = None) -> None:
        super().__init__()
        self._link = link
        self._numbers = count(1)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new and empty database, which is dropped at the end."""
        name = f"farcell{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.start()
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        host = f"{self.folder}/socket" if self._link is None else self._link.cluster
        return f"postgresql://farcell:{self.password}@/{name}?host={host}"

    @property
    def password(self) -> str:
        return (self.folder / "password").read_text()

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints."""
        return self._call("sql", database, statement).strip()

    def stop(self) -> None:
        """Ends the server at once, as a machine that fails; `start` brings it back with its data."""
        self._call("stop")

    def prefix(self) -> list[str]:
        return [] if self._link is None else self._link.command("cluster", [])

    def variables(self) -> dict[str, str]:
        return {} if self._link is None else {"PG_LISTEN": self._link.cluster}
