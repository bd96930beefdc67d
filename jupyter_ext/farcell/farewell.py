"""What becomes of sessions when this process ends.

An explicit shutdown of the notebook kernel, or the end of a plain script, ends them. A restart, a crash or a lost
connection does not: the host then waits its `keep`, and a run goes on to its end.
"""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from typing import TYPE_CHECKING

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
    for session in list(_sessions):
        if session.has_something and not session.is_running and ends_for_good(session):
            try:
                session.stop()
            except Exception:  # the others are still to be ended
                log.warning("%s could not be ended", session.target, exc_info=True)
        else:
            session.acknowledge()
    for recorder in {session.recorder for session in list(_sessions)}:
        if recorder is not None:
            recorder.finish()


def ends_for_good(session: RemoteSession) -> bool:
    """A notebook kernel that was not told to shut down, or told to restart, will be back (messaging spec, "Kernel shutdown")."""
    kernel = session.notebook.kernel
    if kernel is None:
        return True
    message = getattr(kernel, "_shutdown_message", None)
    return message is not None and not message["content"].get("restart")
