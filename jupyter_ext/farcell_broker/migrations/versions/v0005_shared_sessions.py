"""Shares of sessions, beside those of runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Those that are there are of runs."""
    op.add_column("broker_shares", sa.Column("lease_id", sa.String, nullable=True))
    op.add_column("broker_shares", sa.Column("fence", sa.BigInteger, nullable=True))
