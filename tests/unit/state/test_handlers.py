"""Handlers of logging: values like any other, each side with its own streams."""

from __future__ import annotations

import logging
import sys

import pytest
from farcell_host.state import context
from farcell_host.state.capture import dump_or_refuse
from farcell_host.state.dumps import Part
from farcell_host.state.loggers import Looks, watch_of
from farcell_host.state.patches import PATCHES

SETUP = "import logging, sys"


@pytest.fixture
def here(pair):
    pair.cell(SETUP)
    pair.remote_exec(SETUP)
    return pair


def test_a_handler_writes_to_the_stream_of_its_side(here):
    """Not to a copy of the other's; and it is changed in place both ways."""
    here.cell("handler = logging.StreamHandler(sys.stdout); same = [handler]")
    handler = here.here["handler"]
    here.run("handler.setLevel(30); handler.setFormatter(logging.Formatter('%(message)s'))", "handler", "same")
    assert here.here["handler"] is handler is here.here["same"][0]
    assert handler.level == 30 and handler.formatter._fmt == "%(message)s" and handler.stream is sys.stdout
    there = here.there["handler"]
    assert there is here.there["same"][0] is not handler
    assert there.stream is sys.stdout and there.lock is not handler.lock


def test_a_handler_of_the_notebooks_own(here):
    """With what it collects."""
    here.cell(
        "class Kept(logging.Handler):\n"
        "    def __init__(self):\n        super().__init__(); self.seen = []\n"
        "    def emit(self, record): self.seen.append(record.getMessage())\n"
        "kept = Kept()"
    )
    kept = here.here["kept"]
    record = "logging.LogRecord('n', 20, 'p', 1, 'm %s', (1,), None)"
    here.run(f"kept.handle({record})", "kept")
    assert here.here["kept"] is kept and kept.seen == ["m 1"]


def test_the_files_of_both_sides_are_one(here, tmp_path):
    """Where they share it: each writes at its end, whatever the other has written."""
    path = tmp_path / "a.log"
    here.cell(f"log = logging.FileHandler({str(path)!r}, mode='w')")
    record = "logging.LogRecord('n', 20, 'p', 1, '{}', (), None)"
    here.cell(f"log.handle({record.format('here')})")
    here.run(f"log.handle({record.format('there')})", "log")
    here.cell(f"log.handle({record.format('here again')})")
    assert path.read_text().split("\n") == ["here", "there", "here again", ""]
    here.run("log.close()", "log")
    assert here.here["log"].stream is None
    here.there["log"].close()


def test_a_file_that_this_side_cannot_open_stops_nothing(here, tmp_path):
    """logging tells when something is to be written."""
    here.cell(f"log = logging.FileHandler({str(tmp_path / 'a.log')!r})")
    handler = here.here["log"]
    handler.baseFilename = str(tmp_path / "none" / "a.log")
    here.ship("log")
    assert here.there["log"].stream is None and here.there["log"].baseFilename == handler.baseFilename
    handler.close()


def test_a_named_handler_is_found_by_its_name(here):
    """As logging.config does."""
    here.cell("handler = logging.NullHandler(); handler.set_name('farcell.tested')")
    here.ship("handler")
    assert here.there["handler"].get_name() == "farcell.tested"
    assert logging._handlers["farcell.tested"] is here.there["handler"]  # the last one, in the one process of this test


def test_a_list_that_is_as_it_was_is_not_written_out_again(here, monkeypatch):
    """Libraries have handlers of their own that are a part of every exchange; whatever is set on one is seen all the same."""
    monkeypatch.setattr(PATCHES, "is_used", False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    content: list[object] = [handler]
    looks, dumps = Looks(), []

    def look() -> int:
        def dump() -> Part:
            dumps.append(len(dumps))
            return dump_or_refuse("list", content, "", {})

        looks.part("list", content, {}, dump)
        return len(dumps)

    assert (look(), look()) == (1, 1)
    changes = [
        lambda: handler.setLevel(30),
        lambda: handler.setFormatter(logging.Formatter("%(name)s")),
        lambda: setattr(handler.formatter._style, "_fmt", "%(levelname)s"),
        lambda: handler.addFilter(logging.Filter("a")),
        lambda: setattr(handler.filters[0], "name", "b"),
        lambda: handler.setStream(sys.stdout),
        lambda: content.append(logging.NullHandler()),
        lambda: content.reverse(),
    ]
    with context.working(here.local._ledger):
        for number, change in enumerate(changes, 2):
            change()
            assert (look(), look()) == (number, number)


def test_what_a_handler_of_another_class_has_is_looked_at_each_time():
    """Its attributes may lead anywhere."""

    class Kept(logging.Handler):
        pass

    assert watch_of([Kept()]) is None
    assert watch_of([logging.StreamHandler(), logging.FileHandler("/dev/null", delay=True)]) is None
    assert watch_of([lambda record: True]) is None
