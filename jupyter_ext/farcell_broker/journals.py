"""Journals of hosts that are gone, kept for the users whose runs they tell of, and told to nobody else: not to administrators
either, who may end a lease and not look into it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select

from .database import Clock, Database
from .errors import NoSuchLease
from .lease import Lease, Who
from .reading import Journal
from .schema import JournalRow

MOST = 50
"""Of one user; the oldest are forgotten first."""


@dataclass(frozen=True)
class Kept:
    """`data` is None in lists. Times are epoch seconds."""

    lease_id: str
    runs: tuple[str, ...]
    saved: tuple[str, ...] | None
    is_whole: bool
    kept_at: float
    expires_at: float
    data: bytes | None = None
    """zlib's."""


class Journals:
    """All methods are short transactions, for any thread."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database, self._now = database, now

    def keep(self, lease: Lease, journal: Journal, keep_s: float) -> None:
        """In the place of what was kept of this lease before; for `keep_s` seconds."""
        now = self._now()
        values = {
            "lease_id": lease.id,
            "user": lease.user,
            "runs": list(journal.runs),
            "saved": None if journal.saved is None else list(journal.saved),
            "is_whole": journal.is_whole,
            "kept_at": now,
            "expires_at": now + keep_s,
            "data": zlib.compress(journal.data, 6),
        }
        older = select(JournalRow.lease_id).where(JournalRow.user == lease.user).order_by(JournalRow.kept_at.desc())
        with self._database.appending(alone=f"journals of {lease.user}") as connection:
            connection.execute(delete(JournalRow).where(JournalRow.expires_at <= now))
            connection.execute(delete(JournalRow).where(JournalRow.lease_id == lease.id))
            too_many = connection.execute(older.offset(MOST - 1)).scalars().all()
            connection.execute(delete(JournalRow).where(JournalRow.lease_id.in_(too_many)))
            connection.execute(insert(JournalRow).values(**values))

    def of(self, who: Who) -> list[Kept]:
        """This user's, the newest first, without what is in them."""
        columns = [column for column in JournalRow.__table__.columns if column.name != "data"]
        query = select(*columns).where(JournalRow.user == who.name, JournalRow.expires_at > self._now())
        with self._database.reading() as connection:
            return [_kept(row) for row in connection.execute(query.order_by(JournalRow.kept_at.desc()))]

    def read(self, who: Who, lease_id: str) -> Kept:
        """Raises NoSuchLease, for another's too."""
        query = select(JournalRow.__table__).where(
            JournalRow.lease_id == lease_id, JournalRow.user == who.name, JournalRow.expires_at > self._now()
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NoSuchLease(f"Nothing is kept of a lease {lease_id!r} of yours.")
        return _kept(row, row.data)

    def forget(self, who: Who, lease_id: str) -> None:
        """Another's is left alone."""
        with self._database.appending() as connection:
            connection.execute(delete(JournalRow).where(JournalRow.lease_id == lease_id, JournalRow.user == who.name))


def _kept(row: Any, data: bytes | None = None) -> Kept:
    saved = None if row.saved is None else tuple(row.saved)
    return Kept(row.lease_id, tuple(row.runs), saved, row.is_whole, row.kept_at, row.expires_at, data)
