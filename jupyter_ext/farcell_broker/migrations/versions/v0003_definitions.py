"""What a lease keeps of its target."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing for leases that are there already: theirs is what policy says."""
    op.add_column("broker_leases", sa.Column("definition", sa.JSON, nullable=True))
