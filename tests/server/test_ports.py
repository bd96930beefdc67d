"""The tests' own servers start also where somebody else was quicker to take their port."""

from __future__ import annotations

import socket

from jupyter_servers import JupyterServer
from ports import is_taken


def test_a_server_whose_port_is_taken_starts_at_another() -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        server = JupyterServer()
        server.port = taken = int(taker.getsockname()[1])
        with server:
            assert server.port != taken and str(server.port) in server.url
            assert is_taken(server.log) and server.snapshot()["sessions"] == []
