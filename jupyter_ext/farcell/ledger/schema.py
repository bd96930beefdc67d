"""The tables, as the last migration leaves them. Times are UTC epoch seconds.

No table refers to another by a foreign key: a run may be told before its session is.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

APPLICATION_ID = 0x66617263
"""PRAGMA application_id, "farc": tells a ledger from another program's database."""

REVISIONS = ("0001", "0002", "0003", "0004")
"""Every schema that there has been, oldest first; what is in a file and not here is a newer farcell's."""


class Base(DeclarativeBase):
    """Columns that all tables have."""

    # SQLAlchemy 2.0 and 2.1 differ in what a float is by default.
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Float}

    id: Mapped[str] = mapped_column(primary_key=True)
    seen: Mapped[float]
    stamps: Mapped[dict[str, list[float]]] = mapped_column(JSON)


class SessionRow(Base):
    """See SessionReport."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_by_time", "ended", "started"), Index("sessions_by_job", "job_id"))

    target: Mapped[str | None]
    backend: Mapped[str | None]
    notebook: Mapped[str | None]
    host: Mapped[str | None]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    price_per_hour: Mapped[float | None]
    gpus: Mapped[int | None]
    job_id: Mapped[str | None]


class JobRow(Base):
    """See JobReport."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_time", "ended", "started"),)

    target: Mapped[str | None]
    scheduler_id: Mapped[str | None]
    state: Mapped[str | None]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    reason: Mapped[str | None]
    gpus: Mapped[int | None]
    price_per_hour: Mapped[float | None]


class RunRow(Base):
    """See RunReport."""

    __tablename__ = "runs"
    __table_args__ = (Index("runs_by_time", "started"), Index("runs_by_session", "session_id", "seen"))

    session_id: Mapped[str | None]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    state: Mapped[str | None]
    seconds: Mapped[float | None]
    peak_gpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    gpu_utilisation: Mapped[float | None]
    sent_bytes: Mapped[int | None] = mapped_column(BigInteger)
    received_bytes: Mapped[int | None] = mapped_column(BigInteger)
    share: Mapped[float | None]
    cell: Mapped[str | None]
    said_by: Mapped[str | None]
