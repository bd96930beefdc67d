"""A message keeps what Jupyter put on its wire, byte for byte, and decodes only what is looked at."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from farcell_host.errors import FarcellHostError, ProtocolError
from farcell_host.protocol.messages import Channel, Message, encode_json

PARTS = (b'{"msg_type": "stream", "msg_id": "1"}', b'{"msg_id": "0"}', b"{}", '{"text": "é"}'.encode())


def test_parts_are_kept_as_they_came() -> None:
    """What the remote kernel wrote is republished verbatim, spaces and all."""
    message = Message(Channel.IOPUB, PARTS)
    assert message.parts == PARTS
    assert message.msg_type == "stream"
    assert message.header["msg_id"] == "1"
    assert message.parent_header == {"msg_id": "0"}
    assert message.metadata == {}
    assert message.content == {"text": "é"}


def test_a_new_message_has_a_header_of_its_own() -> None:
    """Two messages are told apart by msg_id; the date is UTC."""
    first, second = (Message.build(Channel.SHELL, "farcell_vars_request", {}) for _ in range(2))
    assert first.header["msg_id"] != second.header["msg_id"]
    assert first.header["msg_type"] == "farcell_vars_request"
    assert first.header["version"] == "5.4"
    assert first.header["date"].endswith("Z")


def test_a_message_can_wear_the_local_cells_header() -> None:
    """The cell's header is taken over, only msg_type is ours; the caller's dict is left alone."""
    cell = {"msg_id": "cell-7", "session": "s", "msg_type": "execute_request", "farcell_run": "r1"}
    message = Message.build(Channel.SHELL, "farcell_run_request", {"code": "1"}, header=cell)
    assert message.header == {**cell, "msg_type": "farcell_run_request"}
    assert cell["msg_type"] == "execute_request"
    assert Message(Channel.SHELL, message.parts).header == message.header


def test_other_metadata_makes_another_message() -> None:
    """with_metadata leaves the message it is asked of as it was."""
    message = Message(Channel.SHELL, PARTS, [b"abc"])
    other = message.with_metadata({"farcell_bulk": []})
    assert message.metadata == {}
    assert other.metadata == {"farcell_bulk": []}
    assert (other.header, other.content, other.buffers) == (message.header, message.content, message.buffers)


@pytest.mark.parametrize(
    "other",
    [
        Message(Channel.SHELL, PARTS, [b"abc"]),
        Message(Channel.IOPUB, (PARTS[0], b"{}", PARTS[2], PARTS[3]), [b"abc"]),
        Message(Channel.IOPUB, PARTS, [b"abd"]),
        Message(Channel.IOPUB, PARTS, []),
        "something else",
    ],
)
def test_messages_are_compared_by_value(other: object) -> None:
    """Channel, parts and buffers count; the kind of buffer does not."""
    message = Message(Channel.IOPUB, PARTS, [b"abc"])
    assert message != other
    assert message == Message(Channel.IOPUB, PARTS, [memoryview(b"abc")])
    assert message == Message(Channel.IOPUB, PARTS, [bytearray(b"abc")])


def test_nbytes_counts_all_of_it() -> None:
    """Parts and buffers, a buffer of numbers by its bytes."""
    numbers = memoryview(bytearray(80)).cast("d")
    assert Message(Channel.IOPUB, PARTS, [b"abc", numbers]).nbytes == sum(map(len, PARTS)) + 83


@pytest.mark.parametrize("text", ["", "plain", "é😀", "\x00\n", "\udc80", "half a pair: \ud83d", "\ud83d and \udc80"])
def test_any_python_string_travels(text: str) -> None:
    """Strings a notebook can hold but UTF-8 cannot arrive as they were."""
    built = Message.build(Channel.IOPUB, "stream", {"text": text})
    assert Message(Channel.IOPUB, built.parts).content == {"text": text}


def test_what_json_does_not_know_travels_as_text() -> None:
    """jupyter_client has parsed the dates of the headers we take over."""
    date = datetime(2026, 1, 2, tzinfo=timezone.utc)
    assert encode_json({"date": date}) == b'{"date":"2026-01-02 00:00:00+00:00"}'


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("junk", [b"", b"{", b"\xff", b"nope", b"[" * 200_000], ids=["empty", "half", "bytes", "word", "deep"])
def test_a_part_that_is_not_json_is_one_clear_error(place: int, junk: bytes) -> None:
    """Also JSON nested so deep that the parser gives up."""
    parts = list(PARTS)
    parts[place] = junk
    message = Message(Channel.IOPUB, (parts[0], parts[1], parts[2], parts[3]))
    name = ("header", "parent_header", "metadata", "content")[place]
    with pytest.raises(ProtocolError, match=f"^The peer sent a message {name} that is not JSON$"):
        getattr(message, name)


@pytest.mark.parametrize("junk", [b"[]", b"1", b"null", b'"text"'])
def test_a_part_is_an_object(junk: bytes) -> None:
    """The messaging spec knows nothing else."""
    with pytest.raises(ProtocolError, match="not a JSON object"):
        _ = Message(Channel.IOPUB, (junk, b"{}", b"{}", b"{}")).msg_type


def test_protocol_errors_have_our_base() -> None:
    """One except clause catches all of farcell_host."""
    assert issubclass(ProtocolError, FarcellHostError)
