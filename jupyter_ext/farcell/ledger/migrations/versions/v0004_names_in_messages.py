"""Runs know the username that their message had, which its sender chose."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Empty for earlier runs."""
    op.add_column("runs", sa.Column("said_by", sa.String))
