"""Runs know their cell, by which front ends find it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Empty for earlier runs."""
    op.add_column("runs", sa.Column("cell", sa.String))
