"""The tables, as the last migration leaves them. Times are UTC epoch seconds; `gpu_seconds` are GPUs times seconds.

All names begin with `broker_`, so that a hub's database can hold them too.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, Index, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every schema that there has been, oldest first; what is in a database and not here is a newer farcell's."""
VERSION_TABLE = "broker_schema"
STATE = "number"
"""The one row of broker_state: the number given last. Whoever changes leases, quotas or queues holds this row's lock."""


class Base(DeclarativeBase):
    # SQLAlchemy 2.0 and 2.1 differ in what a float is by default.
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Float}


class StateRow(Base):
    """Numbers that only grow."""

    __tablename__ = "broker_state"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class LeaseRow(Base):
    """See Lease. `number` is given anew by every change, in the order of the changes; `asked_no` is that of the asking."""

    __tablename__ = "broker_leases"
    __table_args__ = (
        Index("broker_leases_by_key", "user", "key", unique=True),
        Index("broker_leases_by_number", "number"),
        Index("broker_leases_by_end", "user", "ended_at"),
        Index("broker_leases_by_time", "ended_at", "granted_at"),
        Index("broker_leases_by_grant", "granted_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    asked_no: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str]
    user: Mapped[str]
    groups: Mapped[list[str]] = mapped_column(JSON)
    charged: Mapped[list[str]] = mapped_column(JSON)
    target: Mapped[str]
    gpus: Mapped[int]
    devices: Mapped[list[int]] = mapped_column(JSON)
    fence: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    asked_at: Mapped[float]
    overdue_at: Mapped[float]
    is_first: Mapped[bool]
    granted_at: Mapped[float | None]
    running_at: Mapped[float | None]
    ends_at: Mapped[float | None]
    warned_at: Mapped[float | None]
    warned_for: Mapped[str | None]
    last_active_at: Mapped[float | None]
    released_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    walltime_s: Mapped[float | None]
    price_per_hour: Mapped[float]
    reason: Mapped[str | None]
    host: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    notebook: Mapped[str | None]
    account: Mapped[str | None]
    options: Mapped[Any] = mapped_column(JSON)
    definition: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    """Of the target, from the grant to the end."""


class UserRow(Base):
    """What fair share remembers of a user: units times seconds of leases that have ended, decayed until `as_of`."""

    __tablename__ = "broker_users"
    __table_args__ = (Index("broker_users_by_number", "number"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[float]
    as_of: Mapped[float]


class DayRow(Base):
    """What leases that have ended used on one day, of a user or (`scope`) of a group; for quotas, by the policy's time zone."""

    __tablename__ = "broker_days"

    scope: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    gpu_seconds: Mapped[float]
    money: Mapped[float]


class RunRow(Base):
    """A run, as the host told it; see farcell.ledger's RunReport."""

    __tablename__ = "broker_runs"
    __table_args__ = (Index("broker_runs_by_lease", "lease_id"), Index("broker_runs_by_time", "started"))

    id: Mapped[str] = mapped_column(primary_key=True)
    lease_id: Mapped[str]
    seen: Mapped[float]
    stamps: Mapped[dict[str, list[float]]] = mapped_column(JSON)
    started: Mapped[float | None]
    ended: Mapped[float | None]
    state: Mapped[str | None]
    seconds: Mapped[float | None]
    peak_gpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    gpu_utilisation: Mapped[float | None]
    sent_bytes: Mapped[int | None] = mapped_column(BigInteger)
    received_bytes: Mapped[int | None] = mapped_column(BigInteger)


class ShareRow(Base):
    """Outputs of a run that their owner shows to others; what is kept is safe to be shown. With `lease_id` and `fence` it is
    the session of that lease, whose values others may read while it lasts; then there is no run, and there are no outputs."""

    __tablename__ = "broker_shares"
    __table_args__ = (Index("broker_shares_by_owner", "owner"), Index("broker_shares_by_end", "expires_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    run: Mapped[str]
    target: Mapped[str | None]
    made_at: Mapped[float]
    expires_at: Mapped[float]
    size: Mapped[int]
    left_out: Mapped[list[str]] = mapped_column(JSON)
    outputs: Mapped[Any] = mapped_column(JSON)
    lease_id: Mapped[str | None]
    fence: Mapped[int | None] = mapped_column(BigInteger)


class ShareReaderRow(Base):
    """One of those whom a share is for."""

    __tablename__ = "broker_share_readers"
    __table_args__ = (Index("broker_share_readers_by_reader", "reader"),)

    share_id: Mapped[str] = mapped_column(primary_key=True)
    reader: Mapped[str] = mapped_column(primary_key=True)


class JournalRow(Base):
    """What the host of a lease that is over had journalled of runs whose results nobody has taken."""

    __tablename__ = "broker_journals"
    __table_args__ = (Index("broker_journals_by_user", "user", "kept_at"), Index("broker_journals_by_end", "expires_at"))

    lease_id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str]
    runs: Mapped[list[str]] = mapped_column(JSON)
    saved: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    is_whole: Mapped[bool]
    kept_at: Mapped[float]
    expires_at: Mapped[float]
    data: Mapped[bytes]


class AuditRow(Base):
    """Who did what; triggers refuse to change or delete a row."""

    __tablename__ = "broker_audit"
    __table_args__ = (Index("broker_audit_by_time", "at"), Index("broker_audit_by_who", "who", "id"))

    # SQLite counts up by itself only for its own INTEGER.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    at: Mapped[float]
    who: Mapped[str]
    action: Mapped[str]
    lease_id: Mapped[str | None]
    target: Mapped[str | None]
    detail: Mapped[Any] = mapped_column(JSON)
