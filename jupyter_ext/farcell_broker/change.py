"""One transaction that changes leases: what it writes, and what it wants to know afterwards."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection, Table, bindparam, insert, update

from . import audit
from .database import Writing
from .lease import Lease, State
from .policy import Policy
from .schema import LeaseRow, UserRow

LEASES = cast(Table, LeaseRow.__table__)
# Made once: to build a statement costs more than SQLite takes to run it. What is set is told by the parameters.
_UPDATE = update(LEASES).where(LEASES.c.id == bindparam("lease"))
_INSERT = insert(LEASES)
_UPDATE_USER = update(UserRow).where(UserRow.name == bindparam("user"))
_INSERT_USER = insert(UserRow)


class Change:
    """`now` is one moment for all of it; `leases` are those that `tell` was called for, as they are after the commit."""

    def __init__(self, writing: Writing, policy: Policy, now: float) -> None:
        self.connection: Connection = writing.connection
        self.policy, self.now = policy, now
        self.asked_for: list[str] = []
        self.leases: list[Lease] = []
        self.has_counted = False
        self._writing = writing

    @property
    def lease(self) -> Lease:
        """The only one."""
        [lease] = self.leases
        return lease

    def tell(self, id: str) -> None:
        """This one is asked for."""
        self.asked_for.append(id)

    def insert(self, **values: Any) -> None:
        number = self.number()
        self.connection.execute(_INSERT, {**_NEW, "number": number, "asked_no": number, **values})

    def update(self, row: Any, **values: Any) -> None:
        self.connection.execute(_UPDATE, {"lease": row.id, "number": self.number(), **values})

    def grant(self, row: Any, **values: Any) -> int:
        """Returns its fence."""
        fence = self.number()
        granted = {"state": State.GRANTED.value, "granted_at": self.now, "reason": None}
        self.connection.execute(_UPDATE, {"lease": row.id, "number": fence, "fence": fence, **granted, **values})
        return fence

    def count(self, user: str, used: float) -> None:
        """What fair share remembers of a user."""
        self.has_counted = True
        values = {"number": self.number(), "used": used, "as_of": self.now}
        if not self.connection.execute(_UPDATE_USER, {"user": user, **values}).rowcount:
            self.connection.execute(_INSERT_USER, {"name": user, **values})

    def audit(self, who: str, action: str, row: Any, **detail: Any) -> None:
        audit.add(self.connection, self.now, who, action, row.id, row.target, **detail)

    def number(self) -> int:
        return self._writing.number()


_NEW = {"devices": [], "fence": 0, "state": State.WAITING.value, "is_first": False, "price_per_hour": 0.0}
