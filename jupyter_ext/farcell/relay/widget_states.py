"""What the widgets that live on targets look like, kept here as their comm messages pass by.

A front end that has reloaded its page asks for the states of all widgets with one message (`jupyter.widget.control`, see
ipywidgets' packages/schema/messages.md). The kernel's own ipywidgets, if there is one, answers for its widgets; ours are added to
that answer. So widgets come back whether their target is idle, busy or gone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from farcell_host.ambient.imports import ImportWatch
from farcell_host.protocol.messages import Message

WIDGET, CONTROL = "jupyter.widget", "jupyter.widget.control"
Path = tuple[Any, ...]


class WidgetStates:
    """Of all sessions of a notebook; `manager` is its kernel's comm manager, None where there is no kernel."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._states: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._before: Callable[[Any, Any], None] | None = None
        self._imports = ImportWatch()

    def seen(self, message: Message) -> None:
        """A comm message in either direction."""
        content = message.content
        comm_id, data = str(content.get("comm_id")), content.get("data")
        if message.msg_type == "comm_open" and content.get("target_name") == WIDGET:
            self._answer_control()
            with self._lock:
                self._states[comm_id] = {}
        with self._lock:
            known = self._states.get(comm_id)
            if known is None:
                return
            if message.msg_type == "comm_close":
                del self._states[comm_id]
            elif isinstance(data, dict) and data.get("method", "update") in ("update", "echo_update"):
                known.update(_with_buffers(data.get("state") or {}, data.get("buffer_paths") or (), message.buffers))

    def add_to(self, data: dict[str, Any], buffers: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
        """An `update_states` message with these widgets in it, too."""
        paths, buffers = [*map(list, data.get("buffer_paths") or ())], [*buffers]
        states = dict(data.get("states") or {})
        with self._lock:
            for comm_id, state in self._states.items():
                bare, found = _without_buffers(state)
                paths += [[comm_id, "state", *path] for path, _ in found]
                buffers += [buffer for _, buffer in found]
                names = {key.lstrip("_"): state.get(key) for key in ("_model_name", "_model_module", "_model_module_version")}
                states[comm_id] = {**names, "state": bare}
        return {**data, "states": states, "buffer_paths": paths}, buffers

    # -- the control comm

    def _answer_control(self) -> None:
        """Takes the place of whoever answers for this kernel's own widgets; ipywidgets puts itself there when it is imported."""
        targets = self._manager.targets
        if targets.get(CONTROL) == self._opened:
            return
        self._before = targets.get(CONTROL)
        targets[CONTROL] = self._opened
        if "ipywidgets" not in sys.modules:
            self._imports.after("ipywidgets", self._answer_control)

    def _opened(self, comm: Any, message: Mapping[str, Any]) -> None:
        send = comm.send

        def send_all(data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
            if isinstance(data, dict) and data.get("method") == "update_states":
                data, buffers = self.add_to(data, buffers or ())
            send(data, metadata, buffers)

        def asked(request: Mapping[str, Any]) -> None:
            if request["content"]["data"].get("method") == "request_states":
                send_all({"method": "update_states", "states": {}, "buffer_paths": []})

        comm.send = send_all
        if self._before is not None:
            self._before(comm, message)
        else:
            comm.on_msg(asked)


def _with_buffers(state: Mapping[str, Any], paths: Sequence[Sequence[Any]], buffers: Sequence[Any]) -> dict[str, Any]:
    """A state whose binary parts are where `paths` say, as ipywidgets' `_put_buffers`."""
    whole = dict(state)
    for path, buffer in zip(paths, buffers, strict=False):
        parent: Any = whole
        for key in path[:-1]:
            parent[key] = parent[key].copy()
            parent = parent[key]
        parent[path[-1]] = bytes(buffer)
    return whole


def _without_buffers(state: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[Path, Any]]]:
    """A state in which JSON has a place for everything, and the binary parts with their paths."""
    found = list(_binary(state, ()))
    bare = _blanked(state) if found else state
    return bare, found


def _binary(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, (bytes, bytearray, memoryview)):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _binary(each, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            yield from _binary(each, (*path, index))


def _blanked(value: Any) -> Any:
    """ipywidgets leaves binary members of an object out, and has None for those of a list."""
    if isinstance(value, dict):
        return {key: _blanked(each) for key, each in value.items() if not isinstance(each, (bytes, bytearray, memoryview))}
    if isinstance(value, (list, tuple)):
        return [None if isinstance(each, (bytes, bytearray, memoryview)) else _blanked(each) for each in value]
    return value
