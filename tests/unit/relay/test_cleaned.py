"""What of a message of a target with `trust = "data"` the notebook deals with."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from farcell.backends.base import LaunchOptions
from farcell.relay.cleaned import FOREIGN, Cleaner, for_a_log
from farcell_host.protocol.messages import Channel, Message

CELL = {"msg_id": "cell", "session": "s", "msg_type": "execute_request", "farcell_run": "r"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()


def clean(
    kind: str, content: dict[str, Any], channel: Channel = Channel.IOPUB, parent: Any = CELL, **more: Any
) -> Message | None:
    return Cleaner("theirs", {"cell"}).clean(Message.build(channel, kind, content, parent=parent, **more))


@pytest.mark.parametrize(
    "kind", ["comm_open", "comm_msg", "comm_close", "execute_input", "debug_event", "shutdown_reply", "x" * 99]
)
def test_only_kinds_that_are_known_come_through(kind: str) -> None:
    """Widgets and whatever a front end may come to know are not among them."""
    assert clean(kind, {"data": {}}) is None
    assert clean(kind, {"data": {}}, Channel.SHELL) is None


def test_a_display_is_text_and_pixels() -> None:
    """Where there is neither, it says what it was; markdown is shown as its source."""
    shown = clean(
        "display_data", {"data": {"text/html": "<script>", "text/plain": "a\x1b[2Jb", "image/png": PNG, "image/svg+xml": "<svg>"}}
    )
    assert shown is not None and shown.content["data"] == {"text/plain": "a[2Jb", "image/png": PNG}
    assert clean("display_data", {"data": {"text/markdown": "<b>"}}).content["data"] == {"text/plain": "<b>"}  # type: ignore[union-attr]
    nothing = clean("display_data", {"data": {"text/html": "<b>", "image/png": "!"}})
    assert nothing is not None and nothing.content["data"].keys() == {"text/plain"}
    assert "text/html, image/png" in nothing.content["data"]["text/plain"]


@pytest.mark.parametrize("data", [None, [], "x", {"text/plain": {"a": 1}}, {"image/png": 5}, {5: 5}])
def test_a_display_of_another_form_is_text(data: Any) -> None:
    """It never fails."""
    shown = clean("execute_result", {"data": data, "metadata": 3, "execution_count": "x", "transient": []})
    assert shown is not None and shown.content["execution_count"] == 0
    assert all(type(value) is str for value in shown.content["data"].values())


def test_another_target_or_the_notebook_keeps_its_displays() -> None:
    """A display's id counts among this target's own; metadata is a picture's size."""
    content = {
        "data": {"image/png": PNG},
        "metadata": {"image/png": {"width": 5, "onload": "x"}, "trusted": True},
        "transient": {"display_id": "d"},
    }
    shown = clean("update_display_data", content, metadata={"trusted": True})
    assert shown is not None and shown.content["transient"] == {"display_id": "theirs:d"}
    assert shown.content["metadata"] == {"image/png": {"width": 5}} and shown.metadata == {}


def test_an_output_belongs_to_a_cell_that_asked_for_it() -> None:
    """That of another cell is nowhere; its run still hears of it."""
    own, other = (
        clean("stream", {"text": "x"}),
        clean("stream", {"text": "x"}, parent={**CELL, "msg_id": "another", "subshell_id": "s"}),
    )
    assert own is not None and own.parent_header["msg_id"] == "cell"
    assert other is not None and "msg_id" not in other.parent_header and other.parent_header["farcell_run"] == "r"
    assert "subshell_id" not in other.parent_header


def test_a_reply_writes_and_imports_nothing() -> None:
    """What remains of it is marked as somebody else's; state is left to its reader."""
    content = {
        "status": "error", "ename": "A\nB", "evalue": "\x1b]0;x\x07y", "traceback": ["\x1b[31mred\x1b[2J", 5],
        "payload": [{"source": "ask_exit"}],
        "imported": {"os": "1"}, "gone": ["os"], "user_expressions": {"x": 1}, "state": {"streams": []}, "message": "\x1b[2Jm",
    }  # fmt: skip
    reply = clean("farcell_run_reply", content, Channel.SHELL, metadata={"farcell_bulk": []})
    assert reply is not None and reply.metadata == {"farcell_bulk": []} and reply.parent_header["msg_id"] == "cell"
    assert reply.content == {
        "status": "error", "ename": "A B", "evalue": "]0;xy", "traceback": ["\x1b[31mred[2J", "5"],
        "state": {"streams": []}, "message": "[2Jm",
        FOREIGN: True,
    }  # fmt: skip


def test_a_question_is_text_and_names_are_names() -> None:
    """What the person is asked steers no terminal."""
    asked = clean("input_request", {"prompt": "\x1b[2J?", "password": 1}, Channel.STDIN)
    assert asked is not None and asked.content == {"prompt": "[2J?", "password": True}
    wanted = clean("farcell_fetch_request", {"run": "r", "names": ["x", 5], "module": 7}, Channel.STDIN)
    assert wanted is not None and wanted.content == {"run": "r", "names": ["x"]}


def test_a_log_outside_of_the_notebook_is_cleaned_for_such_targets_alone() -> None:
    """In a terminal and in the panel."""
    message = Message.build(Channel.IOPUB, "display_data", {"data": {"text/html": "<script>"}})
    assert for_a_log(LaunchOptions())(message) is message
    shown = for_a_log(LaunchOptions(trust="data"))(message)
    assert shown is not None and shown.content["data"].keys() == {"text/plain"}


def test_no_text_of_a_reply_steers_a_terminal() -> None:
    """Versions of packages, a snapshot's names, names that are missing: all of it is shown somewhere."""
    evil = "1\x1b]52;c;eA==\x07"
    told = {"versions": {"numpy": evil}, "manifest": {"left": {evil: [evil]}}, "missing": [evil], "failed": {"m": evil}}
    for kind in ("environment", "restore", "state", "modules"):
        reply = clean(f"farcell_{kind}_reply", {"status": "ok", **told, "state": {"streams": []}}, Channel.SHELL)
        assert reply is not None and reply.content["state"] == {"streams": []}
        assert (
            "\x1b" not in str(reply.parts) and "\\u001b" not in str(reply.parts) and reply.content["missing"] == ["1]52;c;eA=="]
        )
