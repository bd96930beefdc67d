"""What becomes of sessions when this process ends.

An explicit shutdown of the notebook kernel, or the end of a plain script, ends them. A restart, a crash or a lost
connection does not: the host then waits its `keep`, and a run goes on to its end.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .life import STOP_TIMEOUT_S

if TYPE_CHECKING:
    from .session import RemoteSession

log = logging.getLogger("farcell")
_sessions: weakref.WeakSet[RemoteSession] = weakref.WeakSet()
_registered_pid: int | None = None


def remember(session: RemoteSession) -> None:
    """Called by every new session."""
    global _registered_pid
    if _registered_pid != os.getpid():
        _registered_pid = os.getpid()
        _sessions.clear()
        atexit.register(say_goodbye)
    _sessions.add(session)


def say_goodbye() -> None:
    """At exit, on the main thread: a session with an unfinished run is left alone. Last, what was used is written down."""
    if os.getpid() != _registered_pid:
        return
    endings = []
    for session in list(_sessions):  # all at once: a front end kills a kernel that takes more than five seconds
        if session.has_something and not session.is_running and ends_for_good(session):
            with _said(session.target):
                endings.append((session.target, session.begin_stop()))
        else:
            session.acknowledge()
    for target, ending in endings:
        with _said(target):
            if ending is not None:
                ending.result(2 * STOP_TIMEOUT_S)
    for recorder in {session.recorder for session in list(_sessions)}:
        if recorder is not None:
            recorder.finish()


@contextlib.contextmanager
def _said(target: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # the others are still to be ended
        log.warning("%s could not be ended", target, exc_info=True)


def ends_for_good(session: RemoteSession) -> bool:
    """A notebook kernel that was not told to shut down, or told to restart, will be back (messaging spec, "Kernel shutdown")."""
    kernel = session.notebook.kernel
    if kernel is None:
        return True
    message = getattr(kernel, "_shutdown_message", None)
    return message is not None and not message["content"].get("restart")
