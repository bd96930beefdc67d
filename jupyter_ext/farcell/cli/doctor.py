"""`farcell doctor TARGET`."""

from __future__ import annotations

import argparse
import concurrent.futures
from dataclasses import asdict

from .. import targets
from ..desk import Desk
from ..doctor.checks import Check, Verdict, wrong
from ..doctor.examination import CONFIGURATION, Examination
from ..errors import TargetUnavailable
from ..relay.notebook import Notebook
from ..targets import Target
from ..threads import loop_thread
from .output import person, put, say, show_json

_SILENCE_S = 180.0
_STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.WRONG: "bold red", Verdict.UNCHECKED: "dim"}
_WIDTHS = (11, 19)


def doctor(options: argparse.Namespace) -> int:
    """1 when anything is wrong."""
    found: list[Check] = []

    def on_check(check: Check) -> None:
        found.append(check)
        if not options.json:
            _show(check)

    target = _target(options.target, on_check)
    if target is not None:
        _examine(target, on_check)
    bad = [check for check in found if check.verdict is Verdict.WRONG]
    if options.json:
        checks = [{**asdict(check), "verdict": check.verdict.value} for check in found]
        show_json({"target": options.target, "ok": not bad, "checks": checks})
    elif bad:
        say(f"{len(bad)} wrong: {', '.join(check.name for check in bad)}")
    return int(bool(bad))


def _target(name: str, on_check: object) -> Target | None:
    """None where its file is not right, which is told."""
    known, faults = targets.survey()
    if not faults or (name not in known.known and all(fault.target != name for fault in faults)):
        return known.get(name)
    assert callable(on_check)
    for fault in faults:
        on_check(wrong(CONFIGURATION, fault.text, "No cell runs anywhere until that is put right."))
    return None


def _examine(target: Target, on_check: object) -> None:
    assert callable(on_check)
    desk = Desk(Notebook({}), f"looking at {target.name!r}")
    examination = Examination(target.launch_options(), on_check, desk.ask if person() else None, desk.tell)
    going = loop_thread().submit(examination.run())
    try:
        desk.wait(going, _SILENCE_S)
    except concurrent.futures.TimeoutError:
        raise TargetUnavailable(f"{target.name!r}: nothing was heard for {_SILENCE_S:.0f} s while {desk.about}.") from None
    finally:
        going.cancel()


def _show(check: Check) -> None:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2))
    for width in _WIDTHS:
        line.add_column(width=width, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(check.verdict.value, style=_STYLES[check.verdict]), Text(check.name), Text(check.found))
    if check.fix and check.verdict is not Verdict.OK:
        line.add_row("", "", Text(f"-> {check.fix}", style="bold" if check.verdict is Verdict.WRONG else ""))
    put(line)
