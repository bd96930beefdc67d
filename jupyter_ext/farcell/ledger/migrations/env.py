"""Run by alembic for each migration, on the connection and inside the transaction that the store has begun."""

from __future__ import annotations

from alembic import context

# SQLite rolls DDL back like everything else: a migration is there whole or not at all.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
