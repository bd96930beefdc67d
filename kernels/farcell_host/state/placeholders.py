"""What stands at the peer for a value whose name a cell only deletes: it need not travel, and may be one that cannot."""

from __future__ import annotations

import enum

DELETED = "deleted by the cell"
"""The reason for which such a name goes along."""


class Placeholder(enum.Enum):
    """Is never read: a cell that reads the name, later on too, is sent its value."""

    OF_A_VALUE = "a value that was not sent"
