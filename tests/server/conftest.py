"""One server for all tests of a module: each looks after what it makes in there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jupyter_servers import JupyterServer


@pytest.fixture(scope="module")
def shared_server() -> Iterator[JupyterServer]:
    with JupyterServer() as server:
        yield server


@pytest.fixture
def server(shared_server: JupyterServer) -> Iterator[JupyterServer]:
    """Nobody watches at the beginning, nor at the end."""
    yield shared_server
    shared_server.ask("DELETE", "watch/p")
    shared_server.until(lambda snapshot: snapshot["watching"] == 0)
