"""A Jupyter message as it travels: four JSON parts and buffers, decoded only where somebody looks."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from enum import IntEnum
from typing import Any

from ..errors import ProtocolError

Buffer = bytes | bytearray | memoryview
Parts = tuple[bytes, bytes, bytes, bytes]

CELL_KEY = "farcell_cell"
"""In the header of a run's request: the id that the notebook's front end gives the cell."""
_EMPTY = b"{}"
_ENCODER = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":"))  # json.dumps would make one each time


def new_id() -> str:
    """As good as a UUID in hexadecimal, without the object in between."""
    return secrets.token_hex(16)


class Channel(IntEnum):
    """The messaging spec's channels; heartbeat is not carried, the stream has its own."""

    CONTROL = 0
    STDIN = 1
    SHELL = 2
    IOPUB = 3


def encode_json(value: Any) -> bytes:
    """Compact UTF-8 JSON; what JSON does not know travels as its string, as in jupyter_client's Session."""
    try:
        return _ENCODER.encode(value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which a notebook's string may hold; JSON can escape it
        return json.dumps(value, default=str, separators=(",", ":")).encode("ascii")


def decode_object(data: Buffer, what: str) -> dict[str, Any]:
    """A JSON object; raises ProtocolError naming `what` for anything else."""
    try:
        value = json.loads(bytes(data).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"The peer sent {what} that is not JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"The peer sent {what} that is not a JSON object")
    return value


def byte_count(buffer: Buffer) -> int:
    return buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)


class Message:
    """One message of the Jupyter messaging spec on one channel. Immutable; `parts` are header, parent_header,
    metadata, content."""

    __slots__ = ("_content", "_header", "_metadata", "_parent_header", "buffers", "channel", "parts")

    def __init__(self, channel: Channel, parts: Parts, buffers: Sequence[Buffer] = ()) -> None:
        self.channel = channel
        self.parts = parts
        self.buffers = tuple(buffers)
        self._header: dict[str, Any] | None = None
        self._parent_header: dict[str, Any] | None = None
        self._metadata: dict[str, Any] | None = None
        self._content: dict[str, Any] | None = None

    @classmethod
    def build(
        cls,
        channel: Channel,
        msg_type: str,
        content: dict[str, Any],
        *,
        header: dict[str, Any] | None = None,
        parent: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
    ) -> Message:
        """A new message; `header` is a base whose msg_type is set, `parent` the header of the request it answers."""
        if header is None:
            date = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
            header = {"msg_id": new_id(), "session": "", "username": "", "date": date, "version": "5.4"}
        whole = {**header, "msg_type": msg_type}
        message = cls(
            channel,
            (
                encode_json(whole),
                encode_json(parent) if parent else _EMPTY,
                encode_json(metadata) if metadata else _EMPTY,
                encode_json(content) if content else _EMPTY,
            ),
            buffers,
        )
        message._header = whole
        return message

    def with_metadata(self, metadata: dict[str, Any]) -> Message:
        """A copy with other metadata."""
        header, parent, _, content = self.parts
        return Message(self.channel, (header, parent, encode_json(metadata), content), self.buffers)

    @property
    def header(self) -> dict[str, Any]:
        if self._header is None:
            self._header = decode_object(self.parts[0], "a message header")
        return self._header

    @property
    def parent_header(self) -> dict[str, Any]:
        if self._parent_header is None:
            self._parent_header = decode_object(self.parts[1], "a message parent_header")
        return self._parent_header

    @property
    def metadata(self) -> dict[str, Any]:
        if self._metadata is None:
            self._metadata = decode_object(self.parts[2], "a message metadata")
        return self._metadata

    @property
    def content(self) -> dict[str, Any]:
        if self._content is None:
            self._content = decode_object(self.parts[3], "a message content")
        return self._content

    @property
    def msg_type(self) -> str:
        return str(self.header.get("msg_type", ""))

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.parts)) + sum(map(byte_count, self.buffers))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.channel == other.channel
            and self.parts == other.parts
            and len(self.buffers) == len(other.buffers)
            and all(bytes(a) == bytes(b) for a, b in zip(self.buffers, other.buffers, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Message {self.channel.name.lower()} {self.msg_type} {self.nbytes} bytes>"
