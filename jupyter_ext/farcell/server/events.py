"""What goes over Jupyter's event bus: that there is another snapshot, and nothing of it.

Everybody who may listen to the bus hears it, so it names nothing; the snapshot itself is fetched with the right to read it.
"""

from __future__ import annotations

SCHEMA_ID = "https://github.com/farcell/farcell/events/changed/v1"
SCHEMA = {
    "$id": SCHEMA_ID,
    "version": "1",
    "title": "Farcell: something has changed",
    "description": "There is another snapshot at farcell/api/snapshot.",
    "personal-data": False,
    "type": "object",
    "properties": {
        "server": {"type": "string", "title": "Server", "description": "Of the server's process; another one after a restart."},
        "revision": {"type": "integer", "title": "Revision", "description": "Rises with every change."},
    },
    "required": ["server", "revision"],
    "additionalProperties": False,
}
