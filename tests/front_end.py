"""A front end's part in ipywidgets' messages (packages/schema/messages.md), without a browser."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from notebooks import CELL_S, Message, Notebook

VERSION = {"version": "1.0.0"}  # of the protocol of the control comm


@dataclass
class Answer:
    """What the kernel said to one comm message, up to its idle."""

    msg_id: str
    messages: list[Message] = field(default_factory=list)

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["msg_type"] == kind]

    @property
    def stdout(self) -> str:
        return "".join(message["content"]["text"] for message in self.of("stream"))

    @property
    def is_over(self) -> bool:
        return any(message["content"]["execution_state"] == "idle" for message in self.of("status"))

    def updates(self, model: str) -> list[dict[str, Any]]:
        """States that were sent for one widget, in order."""
        mine = (message["content"] for message in self.of("comm_msg") if message["content"]["comm_id"] == model)
        return [content["data"]["state"] for content in mine if content["data"].get("method") in ("update", "echo_update")]


class FrontEnd:
    """Sees all that `notebook` receives."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self._answers: dict[str, Answer] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self.opened: list[str] = []
        """Ids of comms in the order they were opened."""
        self.custom_messages: list[Any] = []
        notebook.listeners.append(self._hear)

    def state(self, model: str) -> dict[str, Any]:
        """Of one widget, as it has been told."""
        return self._states[model]

    def update(
        self,
        model: str,
        state: Mapping[str, Any],
        buffers: Mapping[str | tuple[str, ...], bytes] | None = None,
        **header: Any,
    ) -> Answer:
        """As when a person has changed a widget. `buffers` are binary parts by name, or by path."""
        buffers = buffers or {}
        paths = [[path] if isinstance(path, str) else [*path] for path in buffers]
        data = {"method": "update", "state": dict(state), "buffer_paths": paths}
        return self._send("comm_msg", {"comm_id": model, "data": data}, [*buffers.values()], **header)

    def custom(self, model: str, content: Mapping[str, Any], buffers: list[bytes] | None = None, **header: Any) -> Answer:
        """A message of the widget's own kind."""
        data = {"method": "custom", "content": dict(content)}
        return self._send("comm_msg", {"comm_id": model, "data": data}, buffers, **header)

    def message(self, comm: str, data: Mapping[str, Any], buffers: list[bytes] | None = None, **header: Any) -> Answer:
        """To a comm of any kind."""
        return self._send("comm_msg", {"comm_id": comm, "data": dict(data)}, buffers, **header)

    def close(self, model: str) -> Answer:
        return self._send("comm_close", {"comm_id": model, "data": {}})

    def reload(self) -> dict[str, dict[str, Any]]:
        """All widgets there are, as a page asks for them when it is opened."""
        comm = uuid.uuid4().hex
        self._send("comm_open", {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}})
        answer = self._send("comm_msg", {"comm_id": comm, "data": {"method": "request_states"}})
        (told,) = (message for message in answer.of("comm_msg") if message["content"]["comm_id"] == comm)
        self._send("comm_close", {"comm_id": comm, "data": {}})
        data = told["content"]["data"]
        states: dict[str, dict[str, Any]] = data["states"]
        for path, buffer in zip(data["buffer_paths"], told["buffers"], strict=True):
            _put(states, path, buffer)
        return states

    def subshell(self) -> str:
        """A new one of the kernel's, as JupyterLab makes one for comms."""
        request = self.notebook.client.session.msg("create_subshell_request", {})
        self.notebook.client.control_channel.send(request)
        found: list[str] = []

        def has_come() -> bool:
            for message in self.notebook.stray:
                is_ours = message["parent_header"].get("msg_id") == request["header"]["msg_id"]
                if is_ours and message["msg_type"] == "create_subshell_reply":
                    found.append(message["content"]["subshell_id"])
            return bool(found)

        self.notebook.pump(has_come, CELL_S)
        return found[0]

    def send(self, kind: str, content: dict[str, Any], buffers: list[bytes] | None = None, **header: Any) -> Answer:
        """Returns at once."""
        session = self.notebook.client.session
        message = session.msg(kind, content, metadata=VERSION if kind == "comm_open" else {})
        message["header"].update(header)
        self.notebook.follow_comm(message)
        answer = self._answers[message["header"]["msg_id"]] = Answer(message["header"]["msg_id"])
        self.notebook.client.shell_channel.socket.send_multipart(_parts(session, message, buffers or []))
        return answer

    def wait(self, answer: Answer, timeout: float = CELL_S) -> Answer:
        self.notebook.pump(lambda: answer.is_over, timeout)
        return answer

    def _send(self, kind: str, content: dict[str, Any], buffers: list[bytes] | None = None, **header: Any) -> Answer:
        return self.wait(self.send(kind, content, buffers, **header))

    def _hear(self, message: Message) -> None:
        answer = self._answers.get(message["parent_header"].get("msg_id", ""))
        if answer is not None:
            answer.messages.append(message)
        content = message["content"]
        if message["msg_type"] == "comm_open":
            self.opened.append(content["comm_id"])
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "custom":
            self.custom_messages.append([content["comm_id"], content["data"], [bytes(each) for each in message["buffers"]]])
        if message["msg_type"] not in ("comm_open", "comm_msg") or "state" not in content["data"]:
            return
        state = dict(content["data"]["state"])
        for path, buffer in zip(content["data"].get("buffer_paths", ()), message["buffers"], strict=True):
            _put(state, path, buffer)
        self._states.setdefault(content["comm_id"], {}).update(state)


def _put(tree: Any, path: list[Any], value: Any) -> None:
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def _parts(session: Any, message: Message, buffers: list[bytes]) -> list[bytes]:
    return [*session.serialize(message), *buffers]
