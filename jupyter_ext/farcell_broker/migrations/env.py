"""Run by alembic for each migration, on the connection and inside the transaction that the database has begun."""

from __future__ import annotations

from alembic import context
from farcell_broker.schema import VERSION_TABLE

# SQLite and PostgreSQL roll DDL back like everything else: a migration is there whole or not at all.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True, version_table=VERSION_TABLE)
context.run_migrations()
