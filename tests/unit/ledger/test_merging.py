"""The law by which reports of one run, session or job become one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from typing import cast

import pytest
from farcell.ledger import RunReport
from farcell.ledger.backlog import Backlog
from farcell.ledger.reports import NOTHING, Record, merged
from hypothesis import given
from hypothesis import strategies as st
from ledgers import run, session

TIMES = st.sampled_from([None, 0.0, 1.0, 2.5, 7.0])
REPORTS = st.builds(
    RunReport,
    id=st.just("r1"),
    as_of=st.sampled_from([1.0, 2.0, 3.0]),
    session_id=st.sampled_from([None, "s1", "s2"]),
    started=TIMES,
    ended=TIMES,
    state=st.sampled_from([None, "running", "done", "error"]),
    seconds=TIMES,
    peak_gpu_bytes=st.sampled_from([None, 0, 5, 1 << 62]),
    sent_bytes=st.sampled_from([None, 0, 5, 9]),
)


def known(*reports: RunReport) -> Record:
    return reduce(merged, reports, NOTHING)


@given(
    st.lists(REPORTS, max_size=6).flatmap(
        lambda each: st.tuples(st.just(each), st.permutations(each), st.lists(st.sampled_from(each or [run()])))
    )
)
def test_any_order_and_repetition_gives_the_same(case: tuple[list[RunReport], list[RunReport], list[RunReport]]) -> None:
    """Merging is commutative, associative and idempotent."""
    reports, shuffled, repeated = case
    assert known(*reports) == known(*shuffled, *(repeated if reports else ()))


@given(st.lists(REPORTS, max_size=8))
def test_what_waits_for_the_file_says_what_all_said_that_came(reports: list[RunReport]) -> None:
    """And what is written is not kept."""
    backlog = Backlog()
    backlog.add(reports)
    assert known(*cast("Iterable[RunReport]", backlog)) == known(*reports)
    while batch := backlog.batch(2):
        backlog.done(batch)
    assert not list(backlog)


def test_what_is_told_again_is_not_kept_twice() -> None:
    """While nothing can be written; beyond a bound the oldest things are dropped."""
    backlog = Backlog(kept=2)
    for as_of in (1.0, 2.0, 3.0):
        backlog.add([run("r1", as_of=as_of, seconds=as_of), run("r2", as_of=as_of, seconds=as_of)])
    assert [(each.id, each.as_of) for each in backlog] == [("r1", 3.0), ("r2", 3.0)]
    backlog.add([run("r3")])
    assert backlog.trim() == 1 and [each.id for each in backlog] == ["r2", "r3"]


def test_a_later_report_holds() -> None:
    """By the reporter's clock, in whatever order they come."""
    early, late = run(as_of=1.0, seconds=5.0, state="running"), run(as_of=2.0, seconds=9.0, state="stopping")
    for record in (known(early, late), known(late, early)):
        assert (record.values["seconds"], record.values["state"]) == (9.0, "stopping")


def test_a_later_report_that_knows_less_takes_nothing_away() -> None:
    """None is not a value."""
    record = known(run(as_of=1.0, sent_bytes=7), run(as_of=2.0, started=None))
    assert record.values["sent_bytes"] == 7 and "started" in record.values


def test_a_report_of_the_end_holds_over_one_without() -> None:
    """Also when the clock of the machine that tells it was set back meanwhile."""
    final, stale = run(as_of=1.0, ended=9.0, state="done", seconds=9.0), run(as_of=2.0, state="running", seconds=4.0)
    for record in (known(final, stale), known(stale, final)):
        assert (record.values["state"], record.values["seconds"], record.seen) == ("done", 9.0, 2.0)


def test_equal_ranks_are_decided_by_the_greater_value() -> None:
    """Two reporters of one moment: some order, always the same one."""
    assert known(run(sent_bytes=7), run(sent_bytes=9)) == known(run(sent_bytes=9), run(sent_bytes=7))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, -1, 1 << 63, 1.8e12], ids=str)
def test_a_time_that_cannot_be_meant_is_not_known(number: float) -> None:
    """Not finite, below zero, more than a column holds, or milliseconds."""
    record = known(run(started=number, seconds=number))
    assert not {"started", "seconds"} & set(record.values)


def test_a_time_of_report_that_cannot_be_meant_is_the_earliest() -> None:
    """The rest of the report counts."""
    assert known(run(as_of=math.nan, sent_bytes=1)).seen == 0.0


def test_a_path_that_is_not_utf8_is_kept_as_far_as_it_goes() -> None:
    """Undecodable bytes of a file name become question marks: no database could hold them."""
    assert merged(NOTHING, session(notebook="caf\udce9.ipynb")).values["notebook"] == "caf?.ipynb"
