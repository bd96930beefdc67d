"""The outputs of a run out of its messages, as a notebook would store them."""

from __future__ import annotations

from typing import Any

from farcell.relay.gathered import Gathered
from farcell_host.protocol.messages import Channel, Message


def gathered(*messages: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found = Gathered()
    for kind, content in messages:
        assert found.receive(Message.build(Channel.IOPUB, kind, content))
    return found.outputs


def printed(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def shown(text: str, display: str | None = None, kind: str = "display_data") -> tuple[str, dict[str, Any]]:
    return kind, {"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": display} if display else {}}


def test_what_is_printed_is_one_output_until_something_else_comes() -> None:
    assert gathered(printed("a"), printed("b"), printed("c", "stderr"), printed("d")) == [
        {"output_type": "stream", "name": "stdout", "text": "ab"},
        {"output_type": "stream", "name": "stderr", "text": "c"},
        {"output_type": "stream", "name": "stdout", "text": "d"},
    ]


def test_a_display_is_drawn_anew_wherever_it_is() -> None:
    outputs = gathered(shown("1", "d"), printed("x"), shown("1", "d"), shown("2", "d", "update_display_data"))
    assert [output.get("data") for output in outputs] == [{"text/plain": "2"}, None, {"text/plain": "2"}]


def test_outputs_are_cleared_at_once_or_by_the_next_one() -> None:
    assert gathered(printed("a"), ("clear_output", {"wait": False})) == []
    waiting = ("clear_output", {"wait": True})
    assert [output["text"] for output in gathered(printed("a"), waiting)] == ["a"]
    assert [output["text"] for output in gathered(printed("a"), waiting, printed("b"))] == ["b"]


def test_the_error_that_ends_a_run_comes_from_its_reply() -> None:
    found = Gathered()
    error = {"ename": "E", "evalue": "no", "traceback": ["E: no"]}
    found.end(Message.build(Channel.SHELL, "execute_reply", {"status": "error", **error}))
    assert found.outputs == [{"output_type": "error", **error}]
    found.end(Message.build(Channel.SHELL, "execute_reply", {"status": "ok"}))
    assert len(found.outputs) == 1
