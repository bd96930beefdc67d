"""The Jupyter Server extension: what runs where, over REST, and pushed through Jupyter's event bus.

- `schemas` has every request and answer, `routes` the table of paths; the OpenAPI document is made from both.
- `handlers` check, call and return JSON; nothing that blocks runs on tornado's loop.
- `observatory` looks at places and hosts, only while a page watches; `actions`, `runs` and `tasks` do what is asked for.

It starts nothing in a notebook's namespace, and asks nobody for a password: docs/server.md.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Called by Jupyter Server for what `jupyter_server_config.d/farcell.json` names."""
    from .app import FarcellApp

    return [{"module": "farcell.server", "app": FarcellApp}]
