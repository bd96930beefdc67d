"""`farcell clean TARGET`."""

from __future__ import annotations

import argparse
import concurrent.futures
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from .. import targets
from ..clean import Cleaning, Leftover
from ..desk import Desk
from ..errors import TargetUnavailable
from ..refs import human_bytes
from ..relay.card import duration
from ..relay.notebook import Notebook
from ..tables import Table
from ..threads import loop_thread
from .output import person, say, show, show_json

_SILENCE_S = 180.0


def clean(options: argparse.Namespace) -> int:
    """1 when something could not be removed; nothing is removed without a yes."""
    target = targets.load().get(options.target)
    notebook = Notebook({})
    desk = Desk(notebook, f"looking at {target.name!r}")
    cleaning = Cleaning(target.launch_options(), desk.ask if person() else None, desk.tell)
    found = _wait(desk, cleaning.found())
    chosen = [each for each in found if not each.used and (each.stale or options.all)]
    used = [each for each in found if each.used and (each.stale or options.all)]
    if not options.json:
        _show(target.name, chosen, used)
    says_yes = options.yes
    if chosen and not says_yes and not options.json:
        says_yes = bool(notebook.confirm(f"Remove these {len(chosen)} from {target.name!r}?"))
    removed = _wait(desk, cleaning.remove([each.path for each in chosen])) if chosen and says_yes else []
    if options.json:
        show_json({"target": target.name, "found": [asdict(each) for each in found], "removed": [each.path for each in removed]})
    elif removed:
        print(f"Removed {len(removed)}, {human_bytes(_size(removed))}.")
    elif chosen:
        say("Nothing was removed." if person() else "Nothing was removed: --yes removes them.")
    return int(bool(chosen) and says_yes and len(removed) < len(chosen))


def _show(target: str, chosen: Sequence[Leftover], used: Sequence[Leftover]) -> None:
    rows = [[each.kind, each.path, human_bytes(each.bytes), duration(each.age_s), each.why] for each in chosen]
    title = f"Left on {target!r}, used by nothing" + (f": {human_bytes(_size(chosen))}" if chosen else "")
    show(Table(title, ["what", "where", "size", "age", "why"], rows, "nothing", longest=None))
    for each in used:
        say(f"{each.kind} {each.path} stays: it may be used by {each.used}.")


def _size(found: Sequence[Leftover]) -> int:
    return sum(each.bytes for each in found)


def _wait(desk: Desk, work: Coroutine[Any, Any, list[Leftover]]) -> list[Leftover]:
    going = loop_thread().submit(work)
    try:
        desk.wait(going, _SILENCE_S)
    except concurrent.futures.TimeoutError:
        raise TargetUnavailable(f"Nothing was heard for {_SILENCE_S:.0f} s while {desk.about}.") from None
    finally:
        going.cancel()
    return going.result(0)
