"""A target is tried: a session is started there, cells run, the session ends. `farcell targets test`, and the server extension,
which has a process of its own do it: `python -m farcell.trial NAME` prints a JSON object a line for what begins and what is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from . import targets
from .errors import FarcellError

LAST = "session ended"
Say = Callable[[str, float | None], None]
"""Told of each step when it begins, and again with its seconds when it is done."""


def try_target(name: str, say: Say) -> None:
    """Raises FarcellError for what does not work; its session is ended in any case."""
    from .api import Workspace

    here = Workspace({}, None)
    target = here.targets().get(name)
    here.check_budget(target)
    session = here.session(target)

    def cell() -> None:
        here.namespace.pop("answer", None)
        session.run("answer = 6 * 7")
        if here.namespace.get("answer") != 42:
            raise FarcellError(f"A cell on {target.name!r} did not bring back what it computed.")

    try:
        _step("session started", session.start, say)
        _step("first cell", cell, say)
        _step("second cell", cell, say)
    finally:
        if session.has_something:
            _step(LAST, session.stop, say)


def where_to_look(name: str) -> str:
    """What is said of a trial that failed; doctor cannot look into what a broker lends, which says itself what is wrong."""
    with contextlib.suppress(FarcellError):
        if targets.load().get(name).backend == "broker":
            return ""
    return f"farcell doctor {name} looks for the cause."


def _step(name: str, act: Callable[[], None], say: Say) -> None:
    say(name, None)
    began = time.perf_counter()
    act()
    say(name, time.perf_counter() - began)


@contextlib.contextmanager
def nobody_is_asked() -> Iterator[None]:
    """What ssh asks is asked at a terminal; what comes in by a pipe is for somebody else."""
    before = sys.stdin
    with open(os.devnull) as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = before


def main(name: str) -> int:
    """Exit code 0 when all is well, 1 when the last line says what is not."""

    is_unwanted = False

    def leave_off(*_: object) -> None:
        """A session that is half begun could not be ended: the step is done first. A second signal waits for nothing."""
        nonlocal is_unwanted
        is_unwanted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def say(step: str, seconds: float | None) -> None:
        print(json.dumps({"step": step, "seconds": seconds}), flush=True)
        if is_unwanted and step != LAST:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, leave_off)

    from farcell_host.errors import FarcellHostError

    try:
        with nobody_is_asked():
            try_target(name, say)
    except (FarcellError, FarcellHostError) as error:
        print(json.dumps({"error": f"{error} {where_to_look(name)}".rstrip()}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
