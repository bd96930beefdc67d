"""Handlers of logging: as instances are, without their lock, and with each side's own stream in the place of the other's.

A handler that writes a file opens it by its path on the side it comes to, at its end; so does the one that it comes from, from
then on, or what one writes would overwrite what the other has written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")
OF_SIDE = ("lock", "stream")


def is_handler(kind: type) -> bool:
    return issubclass(kind, logging.Handler)


def reduce_handler(handler: Any) -> Any:
    return make_handler, (type(handler),), handler_state(handler), None, None, set_handler_state


def make_handler(kind: Any) -> Any:
    handler = kind.__new__(kind)
    handler.__dict__["_name"] = None
    handler.createLock()
    logging._addHandlerRef(handler)  # type: ignore[attr-defined]
    return handler


def handler_state(handler: Any) -> tuple[dict[str, Any], Any]:
    """(attributes, which stream): a stream of the process by its name, and True for the file of a FileHandler if it is open."""
    attributes = {name: None if name in OF_SIDE else value for name, value in vars(handler).items()}
    stream = vars(handler).get("stream")
    if isinstance(handler, logging.FileHandler):
        if stream is not None and not stream.closed:
            _append(stream.fileno())
        return attributes, stream is not None
    name = next((name for name in STREAMS if stream is not None and getattr(sys, name) is stream), None)
    if name is None and "stream" in attributes:
        attributes["stream"] = stream
    return attributes, name


def set_handler_state(handler: Any, state: tuple[dict[str, Any], Any]) -> None:
    attributes, which = state
    own = vars(handler)
    before = own.copy()
    own.clear()
    own.update({**attributes, "lock": before["lock"], "_name": None})
    if attributes.get("_name") is not None:
        handler.set_name(attributes["_name"])
    if isinstance(which, str):
        own["stream"] = getattr(sys, which)
    elif isinstance(handler, logging.FileHandler):
        own["stream"] = before.get("stream")
        if which != (own["stream"] is not None):
            _reopen(handler, which)


def _reopen(handler: Any, is_open: bool) -> None:
    if handler.stream is not None:
        handler.stream.close()
    handler.stream = None
    if is_open:
        with contextlib.suppress(OSError):  # no such folder here: opened, and told by logging, when something is to be written
            handler.stream = open(  # noqa: SIM115  it is the handler's
                handler.baseFilename, "a", encoding=handler.encoding, errors=handler.errors
            )


def _append(number: int) -> None:
    import fcntl  # not on Windows, where farcell is only imported

    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
