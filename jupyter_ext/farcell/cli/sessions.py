"""`farcell sessions`: `%remote sessions --all`, from a terminal."""

from __future__ import annotations

import argparse

from .. import everywhere, targets
from .output import say, show, show_json


def sessions(options: argparse.Namespace) -> int:
    """1 also when a place could not be asked: the list is not whole then."""
    found = everywhere.look(targets.load(), not options.here)
    if options.end is not None:
        chosen = everywhere.choose(found, options.end, options.yes)
        everywhere.end(chosen)
        if options.json:
            show_json({"ended": chosen.id, "target": chosen.target})
        else:
            print(f"Session {chosen.id} on {chosen.target!r} has ended.")
        return 0
    if options.json:
        listed = [{"id": each.id, "machine": each.options.host, **each.status, "target": each.target} for each in found.sessions]
        show_json({"sessions": listed, "faults": found.faults})
    else:
        show(everywhere.table(found))
        for fault in found.faults:
            say(fault)
    return int(bool(found.faults))
