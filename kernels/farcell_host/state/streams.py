"""Files in memory: changed in place as they are written, read and closed, with what they hold, their position and attributes."""

from __future__ import annotations

import io
from typing import Any

KINDS = (io.BytesIO, io.StringIO)


def reduce_stream(stream: Any) -> Any:
    """A closed one has no state that it would tell."""
    return (make_closed, (type(stream),)) if stream.closed else stream.__reduce_ex__(4)


def make_closed(kind: Any) -> Any:
    stream = kind()
    stream.close()
    return stream


def stream_state(stream: Any) -> Any:
    """None when it is closed."""
    return None if stream.closed else stream.__getstate__()
