"""Who did what: a log that is only added to; triggers see to it. An entry is written with what it tells, or neither is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from .database import Clock, Database
from .schema import AuditRow

BROKER = "(broker)"
"""Who does what nobody asked for; no user can be called so, since hubs refuse parentheses in names."""
PAGE = 200
_INSERT = insert(AuditRow)


@dataclass(frozen=True)
class Entry:
    """`detail` has neither code nor values nor tokens."""

    id: int
    at: float
    who: str
    action: str
    lease_id: str | None
    target: str | None
    detail: Mapping[str, Any]


def add(
    connection: Connection,
    at: float,
    who: str,
    action: str,
    lease_id: str | None = None,
    target: str | None = None,
    **detail: Any,
) -> None:
    """In the caller's transaction. `action` is a verb in the past, `lease.granted`."""
    told = {key: value for key, value in detail.items() if value is not None}
    values = {"at": at, "who": who, "action": action, "lease_id": lease_id, "target": target, "detail": told}
    connection.execute(_INSERT, values)


class Audit:
    """The log as a whole."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database, self._now = database, now

    def record(self, who: str, action: str, lease_id: str | None = None, target: str | None = None, **detail: Any) -> None:
        """What changes nothing in the database: a policy that was read again, a share that was opened."""
        with self._database.appending() as connection:
            add(connection, self._now(), who, action, lease_id, target, **detail)

    def entries(
        self,
        limit: int = PAGE,
        before: int | None = None,
        who: str | None = None,
        action: str | None = None,
        lease_id: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[Entry]:
        """The newest first; `before` is the id of the last one known. `action` may end with `*`."""
        query = select(AuditRow.__table__).order_by(AuditRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditRow.id < before)
        if who is not None:
            query = query.where(AuditRow.who == who)
        if action is not None and action.endswith("*"):
            query = query.where(AuditRow.action.startswith(action[:-1], autoescape=True))
        elif action is not None:
            query = query.where(AuditRow.action == action)
        if lease_id is not None:
            query = query.where(AuditRow.lease_id == lease_id)
        if since is not None:
            query = query.where(AuditRow.at >= since)
        if until is not None:
            query = query.where(AuditRow.at < until)
        with self._database.reading() as connection:
            return [Entry(**row) for row in connection.execute(query).mappings()]
