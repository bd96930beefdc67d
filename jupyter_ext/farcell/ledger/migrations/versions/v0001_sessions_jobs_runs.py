"""Sessions, jobs and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPLICATION_ID = 0x66617263


def upgrade() -> None:
    """From an empty file."""
    op.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    op.create_table(
        "sessions",
        *_first(),
        *_texts("target", "backend", "notebook", "host"),
        *_numbers("started", "ended", "price_per_hour"),
        sa.Column("gpus", sa.Integer),
        *_texts("job_id"),
    )
    op.create_index("sessions_by_time", "sessions", ["ended", "started"])
    op.create_index("sessions_by_job", "sessions", ["job_id"])
    op.create_table(
        "jobs", *_first(), *_texts("target", "scheduler_id", "state"), *_numbers("started", "ended"), *_texts("reason")
    )
    op.create_index("jobs_by_time", "jobs", ["ended", "started"])
    op.create_table(
        "runs",
        *_first(),
        *_texts("session_id"),
        *_numbers("started", "ended"),
        *_texts("state"),
        *_numbers("seconds"),
        sa.Column("peak_gpu_bytes", sa.BigInteger),
        *_numbers("gpu_utilisation"),
        sa.Column("sent_bytes", sa.BigInteger),
        sa.Column("received_bytes", sa.BigInteger),
        *_numbers("share"),
    )
    op.create_index("runs_by_time", "runs", ["started"])
    op.create_index("runs_by_session", "runs", ["session_id", "seen"])


def _first() -> list[sa.Column[str] | sa.Column[float] | sa.Column[object]]:
    return [
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("seen", sa.Float, nullable=False),
        sa.Column("stamps", sa.JSON, nullable=False),
    ]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String) for name in names]


def _numbers(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Float) for name in names]
