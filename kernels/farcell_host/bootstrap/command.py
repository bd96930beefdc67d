"""`python host.pyz environment describe | make | receive | add`: JSON lines on stdout.

Each line is `{"doing", "done", "total"}`, and the last one the result (`{"python"}`, with `"new_since"`: what this Python lacks,
where an environment was made for that just now) or `{"error", "kind"}`. With `--mark TEXT` each
begins with TEXT and the word `environment`, which tells them from what a login shell or a container prints.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import FarcellHostError
from .faults import NobodyListens, NoEnvironment
from .progress import Teller
from .sources import SOURCES

if TYPE_CHECKING:
    from .making import Maker


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    teller = Teller(options.mark)
    os.umask(0o077)
    try:
        with _ended_orderly():
            found = _answer(options, teller)
            teller(found)
    except NobodyListens:
        return 1
    if "error" in found:
        print(f"farcell: {found['error']}", file=sys.stderr)  # for who reads no JSON
        return 1
    then = getattr(options, "then", None)
    return _go_on(str(found["python"]), then) if then else 0


def _answer(options: argparse.Namespace, teller: Teller) -> dict[str, object]:
    try:
        found: dict[str, object] = options.command(options, teller)
    except FarcellHostError as error:
        return {"error": str(error), "kind": error.kind if isinstance(error, NoEnvironment) else ""}
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python host.pyz environment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    describe = commands.add_parser("describe", help="what this Python is and has, and which wheels are in the cache")
    make = commands.add_parser("make", help="say which Python can run a kernel; make an environment where there is none")
    receive = commands.add_parser("receive", help="take wheels from stdin")
    add = commands.add_parser("add", help="install packages from wheels that were sent, for the Python that `make` gives")
    for each, command in ((describe, _describe), (make, _make), (receive, _receive), (add, _add)):
        each.set_defaults(command=command)
        each.add_argument("--cache", type=_whole, required=True, metavar="DIR", help="where environments and wheels are kept")
        each.add_argument("--mark", default="", metavar="TEXT", help="what lines begin with")
    for each in (describe, make, add):
        each.add_argument("--shown", default=sys.executable, metavar="COMMAND", help="what this Python is called in messages")
        each.add_argument("--from", dest="source", choices=SOURCES, default=SOURCES[0], help="what one is made from")
        each.add_argument("--system-site-packages", action="store_true", help="an environment sees this Python's packages")
    add.add_argument("requirements", nargs="+", metavar="REQUIREMENT")
    make.add_argument("--then", nargs=argparse.REMAINDER, metavar="COMMAND", help="then run this with that Python")
    return parser


def _whole(path: str) -> Path:
    return Path(path).absolute()


def _describe(options: argparse.Namespace, teller: Teller) -> dict[str, object]:
    from . import description, needs
    from .store import Store

    maker = _maker(options, teller)
    lacking = needs.lacking()
    found = None if lacking is None else maker.found(options.system_site_packages)
    wheels = Store(options.cache).sizes()
    return {**description.describe(), "lacking": lacking, "environment": found, "wheels": wheels}


def _make(options: argparse.Namespace, teller: Teller) -> dict[str, object]:
    from . import needs

    lacking = needs.lacking()
    if lacking is None:
        return {"python": sys.executable}
    maker = _maker(options, teller)
    python = maker.ready(lacking, options.source, options.system_site_packages)
    return {"python": python, "new_since": lacking if maker.has_made else None}


def _receive(options: argparse.Namespace, teller: Teller) -> dict[str, object]:
    from .received import receive
    from .store import Store

    return {"received": receive(Store(options.cache), sys.stdin.buffer)}


def _add(options: argparse.Namespace, teller: Teller) -> dict[str, object]:
    found = _make(options, teller)
    _maker(options, teller).add(str(found["python"]), options.requirements)
    return found


def _maker(options: argparse.Namespace, teller: Teller) -> Maker:
    from .making import Maker
    from .store import Store

    return Maker(Store(options.cache), teller, options.shown, sys.stdout.fileno())


def _go_on(python: str, command: list[str]) -> int:
    """Runs a command of the kernel host's, in another process image where that Python is not this one."""
    from ..archive import own_archive
    from ..commands import run as run_command

    if python == sys.executable:
        return run_command(command)
    archive = own_archive()
    if archive is None:
        raise FarcellHostError("--then works in the zipapp only: what runs it must be there for another Python too.")
    os.execv(python, [python, archive, *command])


@contextlib.contextmanager
def _ended_orderly() -> Iterator[None]:
    """A signal ends what goes on as an exception does: nothing half is left."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
