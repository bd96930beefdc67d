"""Messages of a target with `trust = "data"`, as they may be dealt with in the notebook.

Made anew of the few fields that are known, each of its type: text and pictures are left of outputs, nothing of widgets, and of a
reply nothing that has the notebook import, run or write something. State stays as it came: `farcell_host.state.plainreader` reads
it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from farcell_host.protocol.messages import Channel, Message

from .. import untrusted
from ..backends.base import LaunchOptions

Content = dict[str, Any]
FOREIGN = "is_foreign"
"""Of a reply: what it says that the cell has raised is no reason for this process to end."""
_LONGEST_ID = 200


class Cleaner:
    """Of one session. `cells` are the ids of those requests of the front end that it has passed on: an output of another one is
    shown nowhere."""

    def __init__(self, target: str, cells: Collection[str]) -> None:
        self._target, self._cells = target, cells

    def clean(self, message: Message) -> Message | None:
        """None for what is not let through."""
        make = _KINDS.get((message.channel, message.msg_type))
        if make is None:
            return None
        content = make(message.content)
        if (transient := content.get("transient")) is not None:  # not of a display that this notebook has made itself
            content["transient"] = {"display_id": f"{self._target}:{transient}"} if transient else {}
        if message.channel == Channel.IOPUB:
            return Message.build(
                message.channel, message.msg_type, content, header=_header(message.header), parent=self._parent(message)
            )
        _, parent, metadata, _ = message.parts
        plain = Message.build(message.channel, message.msg_type, content, header=_header(message.header))
        return Message(message.channel, (plain.parts[0], parent, metadata, plain.parts[3]), message.buffers)

    def _parent(self, message: Message) -> Content:
        parent = message.parent_header
        told = {key: value for key in _OF_PARENT if isinstance(value := parent.get(key), str)}
        if told.get("msg_id") not in self._cells:
            told.pop("msg_id", None)
        return told


def for_a_log(options: LaunchOptions) -> Callable[[Message], Message | None]:
    """What is done with messages of a session's journal before they are shown outside of its notebook."""
    return Cleaner(options.target, ()).clean if options.takes_data_alone else lambda message: message


_OF_PARENT = ("msg_id", "session", "username", "date", "version", "msg_type", "farcell_run")


def _header(header: Content) -> Content:
    return {key: untrusted.word(header.get(key)) for key in ("msg_id", "session", "username", "date", "version")}


def _stream(content: Content) -> Content:
    return {"name": "stderr" if content.get("name") == "stderr" else "stdout", "text": untrusted.text(content.get("text"))}


def _display(content: Content) -> Content:
    data = untrusted.bundle(content.get("data"))
    if not data:
        kinds = content.get("data")
        names = ", ".join(map(untrusted.word, kinds)) if isinstance(kinds, dict) else "nothing"
        data = {"text/plain": f'<not shown, since its target has trust = "data": {names}>'}
    transient = content.get("transient")
    display = transient.get("display_id") if isinstance(transient, dict) else None
    return {
        "data": data,
        "metadata": untrusted.sizes(content.get("metadata"), data),
        "transient": untrusted.word(display)[:_LONGEST_ID] if isinstance(display, str) else "",
    }


def _result(content: Content) -> Content:
    return {**_display(content), "execution_count": _whole(content.get("execution_count"))}


def _error(content: Content) -> Content:
    return {
        "ename": untrusted.word(content.get("ename")),
        "evalue": untrusted.text(content.get("evalue")),
        "traceback": untrusted.lines(content.get("traceback")),
    }


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0


def _texts(*names: str) -> Callable[[Content], Content]:
    return lambda content: {name: untrusted.word(content[name]) for name in names if name in content}


def _reply(content: Content) -> Content:
    """Without payloads (`set_next_input` writes a cell), modules to import, and user expressions."""
    clean = {
        key: value if key in _READ_ELSEWHERE else untrusted.deeply(value)
        for key, value in content.items()
        if key not in _NOT_LET_IN
    }
    clean.update({key: untrusted.text(content[key]) for key in ("message", "evalue") if content.get(key)})
    if content.get("ename") is not None:
        clean["ename"] = untrusted.word(content["ename"])
    for key in ("traceback", "unshown"):
        if content.get(key):
            clean[key] = untrusted.lines(content[key])
    return {**clean, FOREIGN: True}


_NOT_LET_IN = frozenset({"payload", "imported", "gone", "user_expressions"})
_READ_ELSEWHERE = frozenset({"state", "copies", "answer", "places"})
"""As data, or as the paths of files."""
_REPLIES = ("run", "state", "modules", "files", "environment", "vars", "save", "restore")


def _question(content: Content) -> Content:
    return {"prompt": untrusted.text(content.get("prompt")), "password": bool(content.get("password"))}


def _asked_names(content: Content) -> Content:
    names = content.get("names")
    asked: Content = {
        "run": content.get("run"),
        "names": [name for name in names if isinstance(name, str)] if isinstance(names, list) else [],
    }
    if isinstance(content.get("module"), str):
        asked.update(module=content["module"], anew=bool(content.get("anew")))
    return asked


_KINDS: dict[tuple[Channel, str], Callable[[Content], Content]] = {
    (Channel.IOPUB, "stream"): _stream,
    (Channel.IOPUB, "display_data"): _display,
    (Channel.IOPUB, "update_display_data"): _display,
    (Channel.IOPUB, "execute_result"): _result,
    (Channel.IOPUB, "error"): _error,
    (Channel.IOPUB, "clear_output"): lambda content: {"wait": bool(content.get("wait"))},
    (Channel.IOPUB, "status"): _texts("execution_state"),
    (Channel.IOPUB, "farcell_installed"): _texts("run"),
    (Channel.IOPUB, "farcell_output_dropped"): lambda content: {
        name: _whole(content.get(name)) for name in ("messages", "bytes")
    },
    **{(Channel.SHELL, f"farcell_{name}_reply"): _reply for name in _REPLIES},
    (Channel.STDIN, "input_request"): _question,
    (Channel.STDIN, "farcell_fetch_request"): _asked_names,
}
"""All that is let through."""
