"""What hosts that are gone had journalled and nobody has taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Without any."""
    op.create_table(
        "broker_journals",
        sa.Column("lease_id", sa.String, primary_key=True),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("runs", sa.JSON, nullable=False),
        sa.Column("saved", sa.JSON),
        sa.Column("is_whole", sa.Boolean, nullable=False),
        sa.Column("kept_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("broker_journals_by_user", "broker_journals", ["user", "kept_at"])
    op.create_index("broker_journals_by_end", "broker_journals", ["expires_at"])
