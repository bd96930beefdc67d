"""Outputs of runs that their owner shows to named users, and sessions whose values they may read: for a time, and noted in the
audit log.

Of a session nothing is kept here but whose it is: who reads it is told what it holds at that moment (`shares_handlers`), as long
as its lease lasts. Of a run, what is kept is what may be shown to others already (`untrusted.py`), so that nothing else can come
out. Only its owner and those it is for are told that a share exists; administrators see in the audit log who shared what with
whom, and may end it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, not_, or_, select

from . import audit, untrusted
from .database import Clock, Database
from .errors import NoSuchShare, Refused
from .lease import USABLE, Lease, Who
from .schema import LeaseRow, ShareReaderRow, ShareRow

MOST_BYTES = 2 << 20
"""Of one share's outputs, as JSON."""
MOST_SHARES = 100
"""Of one owner at a time."""
LONGEST_S = 90 * 86400.0
DEFAULT_S = 7 * 86400.0


@dataclass(frozen=True)
class Share:
    """`outputs` is None in lists. Times are epoch seconds."""

    id: str
    owner: str
    readers: tuple[str, ...]
    run: str
    target: str | None
    made_at: float
    expires_at: float
    size: int
    left_out: tuple[str, ...]
    outputs: list[Mapping[str, Any]] | None = None
    lease_id: str | None = None
    """Of a session; `run` is empty then."""
    fence: int | None = None


class Shares:
    """All methods are short transactions, for any thread."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database, self._now = database, now

    def open(
        self,
        who: Who,
        readers: Sequence[str],
        run: str,
        outputs: Sequence[Mapping[str, Any]],
        *,
        target: str | None = None,
        lasts_s: float = DEFAULT_S,
    ) -> Share:
        """Raises Refused for outputs that are too large, or too many shares."""
        shown, left_out = untrusted.shown(outputs)
        told = json.dumps(shown)
        if len(told) > MOST_BYTES:
            raise Refused(f"The outputs are {len(told) >> 10} KiB, and at most {MOST_BYTES >> 10} KiB of a run can be shared.")
        now = self._now()
        share = Share(
            id=secrets.token_hex(8),
            owner=who.name,
            readers=tuple(dict.fromkeys(readers)),
            run=run,
            target=target,
            made_at=now,
            expires_at=now + min(lasts_s, LONGEST_S),
            size=len(told),
            left_out=tuple(left_out),
        )
        return self._open(who, share, shown)

    def open_session(self, who: Who, readers: Sequence[str], lease: Lease, *, lasts_s: float = DEFAULT_S) -> Share:
        """Has these users read the values of the session of a lease of one's own, while it lasts. Raises Refused."""
        if lease.state not in USABLE:
            raise Refused(f"Lease {lease.id} has no session that could be shared.")
        now = self._now()
        share = Share(
            id=secrets.token_hex(8),
            owner=who.name,
            readers=tuple(dict.fromkeys(readers)),
            run="",
            target=lease.target,
            made_at=now,
            expires_at=now + min(lasts_s, LONGEST_S),
            size=0,
            left_out=(),
            lease_id=lease.id,
            fence=lease.fence,
        )
        return self._open(who, share, [])

    def _open(self, who: Who, share: Share, shown: Sequence[Mapping[str, Any]]) -> Share:
        row = {name: value for name, value in vars(share).items() if name != "readers"}
        with self._database.appending(alone=f"shares of {who.name}") as connection:
            self._forget_expired(connection)
            mine = select(func.count()).select_from(ShareRow).where(ShareRow.owner == who.name)
            if connection.execute(mine).scalar_one() >= MOST_SHARES:
                raise Refused(
                    f"You have {MOST_SHARES} shares already: end one with %remote share --end ID, or wait for one to expire."
                )
            connection.execute(insert(ShareRow).values(**{**row, "left_out": list(share.left_out), "outputs": shown}))
            connection.execute(insert(ShareReaderRow), [{"share_id": share.id, "reader": name} for name in share.readers])
            self._note(connection, who, "share.opened", share, readers=list(share.readers), expires_at=share.expires_at)
        return share

    def of(self, who: Who) -> list[Share]:
        """Those of this user and those for this user, the newest first."""
        is_for = select(ShareReaderRow.share_id).where(ShareReaderRow.reader == who.name)
        columns = [column for column in ShareRow.__table__.columns if column.name != "outputs"]
        query = (
            select(*columns)
            .where((ShareRow.owner == who.name) | ShareRow.id.in_(is_for), self._lasts())
            .order_by(ShareRow.made_at.desc(), ShareRow.id)
        )
        with self._database.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
            readers = self._readers(connection, [row["id"] for row in rows])
        return [_share(row, readers.get(row["id"], ()), who) for row in rows]

    def read(self, who: Who, id: str) -> Share:
        """With its outputs; noted in the audit log. Raises NoSuchShare, also for one that is for others."""
        with self._database.appending() as connection:
            share = self._found(connection, id)
            if who.name != share.owner and who.name not in share.readers:
                raise _none(id)
            if who.name != share.owner:
                self._note(connection, who, "share.read", share, owner=share.owner)
        return _told(share, who)

    def end(self, who: Who, id: str) -> None:
        """By its owner or an administrator. Raises NoSuchShare."""
        with self._database.appending() as connection:
            share = self._found(connection, id)
            if who.name != share.owner and not who.is_admin:
                raise _none(id)
            self._delete(connection, [id])
            self._note(connection, who, "share.ended", share, owner=share.owner)

    def _found(self, connection: Connection, id: str) -> Share:
        query = select(ShareRow.__table__).where(ShareRow.id == id, self._lasts())
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise _none(id)
        return _share(dict(row), self._readers(connection, [id]).get(id, ()))

    def _lasts(self) -> ColumnElement[bool]:
        """A session's share ends with its lease, and is none of the session that the lease gets after that."""
        alive = exists().where(
            LeaseRow.id == ShareRow.lease_id,
            LeaseRow.fence == ShareRow.fence,
            LeaseRow.state.in_([each.value for each in USABLE]),
        )
        return and_(ShareRow.expires_at > self._now(), or_(ShareRow.lease_id.is_(None), alive))

    def _readers(self, connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        query = select(ShareReaderRow.__table__).where(ShareReaderRow.share_id.in_(ids)).order_by(ShareReaderRow.reader)
        found: dict[str, tuple[str, ...]] = {}
        for row in connection.execute(query).mappings():
            found[row["share_id"]] = (*found.get(row["share_id"], ()), row["reader"])
        return found

    def _forget_expired(self, connection: Connection) -> None:
        expired = connection.execute(select(ShareRow.id).where(not_(self._lasts()))).scalars().all()
        self._delete(connection, expired)

    def _delete(self, connection: Connection, ids: Sequence[str]) -> None:
        connection.execute(delete(ShareReaderRow).where(ShareReaderRow.share_id.in_(ids)))
        connection.execute(delete(ShareRow).where(ShareRow.id.in_(ids)))

    def _note(self, connection: Connection, who: Who, action: str, share: Share, **detail: Any) -> None:
        what = {"run": share.run} if share.lease_id is None else {}
        audit.add(connection, self._now(), who.name, action, share.lease_id, share.target, share=share.id, **what, **detail)


def _share(row: dict[str, Any], readers: Sequence[str], who: Who | None = None) -> Share:
    share = Share(**{**row, "readers": tuple(readers), "left_out": tuple(row["left_out"])})
    return share if who is None else _told(share, who)


def _told(share: Share, who: Who) -> Share:
    """Who reads is not told who else does."""
    return share if who.name == share.owner else Share(**{**vars(share), "readers": (who.name,)})


def _none(id: str) -> NoSuchShare:
    return NoSuchShare(f"There is no share {id!r} of yours or for you; %remote shared lists them.")
