"""Jobs have a price and GPUs of their own: one that never got a session costs too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """The columns are empty for earlier jobs, which take both from their session."""
    op.add_column("jobs", sa.Column("gpus", sa.Integer))
    op.add_column("jobs", sa.Column("price_per_hour", sa.Float))
