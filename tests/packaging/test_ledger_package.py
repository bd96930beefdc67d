"""The ledger's migrations are data of the package: what is installed has them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from farcell.ledger.migrate import FOLDER


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_has_every_migration(built: dict[str, Path]) -> None:
    """With alembic's env.py, under the package's own name."""
    shipped = {name for name in zipfile.ZipFile(built["wheel"]).namelist() if name.startswith("farcell/ledger/migrations/")}
    here = {f"farcell/ledger/migrations/{path.relative_to(FOLDER).as_posix()}" for path in FOLDER.rglob("*.py")}
    assert shipped == here and len(here) >= 3
