"""The outputs of a run as a notebook's document has them, gathered from its messages."""

from __future__ import annotations

from typing import Any

from farcell_host.protocol.messages import Message

from .run_relay import dropped

Output = dict[str, Any]


class Gathered:
    """In the order in which they were shown; cleared and drawn anew as the run did it (messaging spec, "update_display_data")."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self._displays: dict[str, list[Output]] = {}
        self._clears_next = False

    def receive(self, message: Message) -> bool:
        """Called by a Replay; nothing is left to be published."""
        self.publish(message)
        return True

    def publish(self, message: Message) -> None:
        if message.msg_type == "farcell_output_dropped":
            message = dropped(message)
        content = message.content
        if message.msg_type == "clear_output":
            self._clears_next = bool(content.get("wait"))
            if not self._clears_next:
                self._clear()
        elif message.msg_type == "update_display_data":
            for shown in self._displays.get(_display(content) or "", ()):
                shown.update(data=content.get("data") or {}, metadata=content.get("metadata") or {})
        elif message.msg_type in ("stream", "display_data", "execute_result", "error"):
            if self._clears_next:
                self._clear()
            self._add(message.msg_type, content)

    def end(self, reply: Message) -> None:
        """The error that ends a run is in its reply only."""
        if reply.content.get("status") == "error":
            self._add("error", reply.content)

    def _add(self, kind: str, content: dict[str, Any]) -> None:
        last = self.outputs[-1] if self.outputs else {}
        if kind == "stream":
            if last.get("output_type") == "stream" and last["name"] == content["name"]:
                last["text"] += content["text"]
            else:
                self.outputs.append({"output_type": kind, "name": content["name"], "text": content["text"]})
        elif kind == "error":
            self.outputs.append({"output_type": kind, **{key: content.get(key) for key in ("ename", "evalue", "traceback")}})
        else:
            output: Output = {"output_type": kind, "data": content.get("data") or {}, "metadata": content.get("metadata") or {}}
            if kind == "execute_result":
                output["execution_count"] = content.get("execution_count")
            self.outputs.append(output)
            if (display := _display(content)) is not None:
                self._displays.setdefault(display, []).append(output)

    def _clear(self) -> None:
        self._clears_next = False
        self.outputs.clear()
        self._displays.clear()


def _display(content: dict[str, Any]) -> str | None:
    return (content.get("transient") or {}).get("display_id")
