"""What an environment may be made from."""

from __future__ import annotations

ANY, SENT, NOTHING = SOURCES = ("any", "sent", "nothing")
"""An index, or wheels that were sent where there are any; those alone; nothing is made."""
