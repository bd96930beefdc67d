"""Outputs of runs that users show each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Without any share."""
    op.create_table(
        "broker_shares",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("target", sa.String),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("left_out", sa.JSON, nullable=False),
        sa.Column("outputs", sa.JSON, nullable=False),
    )
    op.create_index("broker_shares_by_owner", "broker_shares", ["owner"])
    op.create_index("broker_shares_by_end", "broker_shares", ["expires_at"])
    op.create_table(
        "broker_share_readers",
        sa.Column("share_id", sa.String, primary_key=True),
        sa.Column("reader", sa.String, primary_key=True),
    )
    op.create_index("broker_share_readers_by_reader", "broker_share_readers", ["reader"])
