"""Brings the schema up to date; apart from the database, since alembic is imported for it and needed once in a schema's life."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).parent / "migrations"


def config() -> Config:
    """Alembic's, without a file: the scripts are in this package."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Runs the migrations that the database lacks, inside the caller's transaction."""
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, revision)
