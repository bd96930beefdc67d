"""`farcell logs RUN`: what a run has shown, from the journal of its session; else what the ledger knows of it."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from farcell_host.protocol.messages import Message

from .. import everywhere, journals, targets
from ..backends.base import Listing, backend_named
from ..errors import FarcellError, TargetUnavailable
from ..everywhere import Session
from ..journals import Replay, Shower
from ..ledger import LedgerError, RunUsage, open_ledger
from ..recorder import missing_packages
from ..relay.card import duration
from ..relay.cleaned import for_a_log
from ..relay.notebook import Notebook
from ..relay.run_relay import HIDDEN, RunRelay
from ..threads import loop_thread
from .output import say

_LEAVE_S = 10.0


def logs(options: argparse.Namespace) -> int:
    """This machine's sessions first, and others' only when none of them has the run."""
    faults: list[str] = []
    seen: set[str] = set()
    for is_everywhere in (False, True):
        found = everywhere.look(targets.load(), is_everywhere)
        faults = found.faults
        sessions = [session for session in found.sessions if session.id not in seen]
        seen.update(session.id for session in sessions)
        for session in sorted(sessions, key=lambda session: not _names(session, options.run)):
            if _show(session, options):
                return 0
    recorded = _recorded(options.run)
    if recorded is not None:
        _tell(recorded, options.json)
        return 0
    unasked = "".join(f"\nNot asked: {fault}" for fault in faults)
    raise FarcellError(
        f"No session that lives has a run {options.run!r}. What a run has shown ends with its session; "
        f"farcell sessions lists those that live.{unasked}"
    )


def _names(session: Session, run: str) -> bool:
    return any(each.startswith(run) for each in session.left)


def _show(session: Session, options: argparse.Namespace) -> bool:
    """Whether it has the run."""
    if not session.has_journal:
        return False
    backend = backend_named(session.options.backend)
    allocation = everywhere.allocation_of(session)
    shower = _Lines() if options.json else RunRelay(Notebook({}), 0)
    reading = Replay(options.run, shower, for_a_log(session.options))
    try:
        with journals.observed(backend, allocation, reading.take) as journal:
            reading.wait(journal, options.follow)
    except (TargetUnavailable, OSError) as error:
        if reading.run is not None:
            raise FarcellError(f"Session {session.id} on {session.target!r} was lost: {error}") from error
        return False  # it has ended meanwhile
    finally:
        if isinstance(backend, Listing):
            loop_thread().submit(backend.leave(allocation)).result(_LEAVE_S)
    if reading.run is None:
        return False
    if reading.reply is not None:
        _end(reading.reply, options.json)
    else:
        more = "" if options.follow else " --follow waits for its end."
        say(f"Run {reading.run[:8]} on {session.target!r} goes on.{more}")
    return True


def _end(reply: Message, as_json: bool) -> None:
    """The error that ends a run is in its reply only."""
    content = reply.content
    if as_json:
        print(
            json.dumps({"type": "end", "content": {key: content.get(key) for key in ("status", "ename", "evalue", "traceback")}})
        )
    elif content.get("status") == "error":
        say("the run ended so:\n" + "\n".join(content.get("traceback") or [f"{content.get('ename')}: {content.get('evalue')}"]))


class _Lines(Shower):
    """A JSON object a line."""

    def receive(self, message: Message) -> bool:
        return message.msg_type in HIDDEN

    def publish(self, message: Message) -> None:
        print(json.dumps({"type": message.msg_type, "content": message.content}), flush=True)


def _recorded(run: str) -> RunUsage | None:
    """Where a ledger is kept and can be read."""
    if missing_packages():
        return None
    try:
        return open_ledger().run_usage(run)
    except LedgerError as error:
        say(str(error))
        return None


def _tell(run: RunUsage, as_json: bool) -> None:
    if as_json:
        fields: dict[str, Any] = {"run": run.id, "target": run.target, "state": run.state, "started": run.started}
        print(json.dumps({"type": "record", "content": {**fields, "ended": run.ended, "seconds": run.seconds}}))
        return
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started)) if run.started else "at an unknown time"
    say(
        f"Run {run.id[:8]} on {run.target!r} began {began}, took {duration(run.seconds)} and is {run.state or 'over'}. "
        "What it has shown ended with its session."
    )
