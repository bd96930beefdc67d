"""Leases, what was used, and who did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database, or one that holds other programs' tables."""
    op.create_table("broker_state", sa.Column("name", sa.String, primary_key=True), _whole("value"))
    op.execute("INSERT INTO broker_state (name, value) VALUES ('number', 0)")
    op.create_table(
        "broker_leases",
        sa.Column("id", sa.String, primary_key=True),
        *(_whole(name) for name in ("number", "asked_no")),
        *(_text(name) for name in ("key", "user")),
        *(_json(name) for name in ("groups", "charged")),
        _text("target"),
        sa.Column("gpus", sa.Integer, nullable=False),
        _json("devices"),
        _whole("fence"),
        _text("state"),
        *(_number(name) for name in ("asked_at", "overdue_at")),
        sa.Column("is_first", sa.Boolean, nullable=False),
        *(_number(name, nullable=True) for name in ("granted_at", "running_at", "ends_at", "warned_at")),
        _text("warned_for", nullable=True),
        *(_number(name, nullable=True) for name in ("last_active_at", "released_at", "ended_at", "walltime_s")),
        _number("price_per_hour"),
        _text("reason", nullable=True),
        sa.Column("host", sa.JSON, nullable=True),
        *(_text(name, nullable=True) for name in ("notebook", "account")),
        _json("options"),
    )
    op.create_index("broker_leases_by_key", "broker_leases", ["user", "key"], unique=True)
    op.create_index("broker_leases_by_number", "broker_leases", ["number"])
    op.create_index("broker_leases_by_end", "broker_leases", ["user", "ended_at"])
    op.create_index("broker_leases_by_time", "broker_leases", ["ended_at", "granted_at"])
    op.create_index("broker_leases_by_grant", "broker_leases", ["granted_at"])
    op.create_table(
        "broker_users",
        sa.Column("name", sa.String, primary_key=True),
        _whole("number"),
        *(_number(name) for name in ("used", "as_of")),
    )
    op.create_index("broker_users_by_number", "broker_users", ["number"])
    op.create_table(
        "broker_days",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("scope", "name", "day")),
        *(_number(name) for name in ("gpu_seconds", "money")),
    )
    op.create_table(
        "broker_runs",
        sa.Column("id", sa.String, primary_key=True),
        _text("lease_id"),
        _number("seen"),
        _json("stamps"),
        *(_number(name, nullable=True) for name in ("started", "ended")),
        _text("state", nullable=True),
        _number("seconds", nullable=True),
        sa.Column("peak_gpu_bytes", sa.BigInteger),
        _number("gpu_utilisation", nullable=True),
        *(sa.Column(name, sa.BigInteger) for name in ("sent_bytes", "received_bytes")),
    )
    op.create_index("broker_runs_by_lease", "broker_runs", ["lease_id"])
    op.create_index("broker_runs_by_time", "broker_runs", ["started"])
    op.create_table(
        "broker_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        _number("at"),
        *(_text(name) for name in ("who", "action")),
        *(_text(name, nullable=True) for name in ("lease_id", "target")),
        _json("detail"),
    )
    op.create_index("broker_audit_by_time", "broker_audit", ["at"])
    op.create_index("broker_audit_by_who", "broker_audit", ["who", "id"])
    _append_only()


def _append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER broker_audit_no_{verb.lower()} BEFORE {verb} ON broker_audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION broker_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$"
    )
    op.execute(
        "CREATE TRIGGER broker_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON broker_audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION broker_audit_refuse()"
    )


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=nullable)


def _number(name: str, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=nullable)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON, nullable=False)
