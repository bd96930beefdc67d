"""Several byte streams over one: each frame names a channel. Sans I/O, used by both ends.

Who has opened the trunk opens channels by numbers of its own choice; the other end answers OPENED or CLOSE. After CLOSE, which
either end may say, and whose bytes are words, a channel's number is not used again.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from ..errors import ProtocolError

MOST_BYTES = 1 << 20
"""In one frame."""
_HEAD = struct.Struct(">BII")


class Kind(IntEnum):
    OPEN = 1
    """JSON: `runtime`, a session's folder, or `identity` and `to`, as for a door's `reach`."""
    OPENED = 2
    DATA = 3
    CLOSE = 4
    """Why, in words; GONE when no host is there."""
    HOSTS = 5
    """JSON, on no channel: names of all sessions' folders, whenever there are others."""


GONE = b"gone"
Frame = tuple[Kind, int, bytes]


def frame(kind: Kind, channel: int, data: bytes | bytearray | memoryview = b"") -> bytes:
    return _HEAD.pack(kind, channel, len(data)) + data


class Frames:
    """Bytes in any pieces in, whole frames out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def receive(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Raises ProtocolError for what is no frame."""
        self._rest += data
        found = []
        at = 0
        while len(self._rest) - at >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(self._rest, at)
            if kind not in set(Kind) or size > MOST_BYTES:
                raise ProtocolError(f"no frame of a trunk: kind {kind}, {size} bytes")
            end = at + _HEAD.size + size
            if len(self._rest) < end:
                break
            found.append((Kind(kind), channel, bytes(self._rest[at + _HEAD.size : end])))
            at = end
        del self._rest[:at]
        return found
