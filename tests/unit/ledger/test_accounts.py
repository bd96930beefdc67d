"""What sessions, jobs and runs add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from farcell.ledger.accounts import Allocation, Run, UsageRow, allocations_of, days, usage_rows
from farcell.ledger.reports import NOTHING, JobReport, Report, SessionReport, merged
from hypothesis import given
from hypothesis import strategies as st
from ledgers import DAY, HOUR, NOON, job, session

BERLIN = ZoneInfo("Europe/Berlin")


def row(report: Report) -> dict[str, object]:
    record = merged(NOTHING, report)
    return {**dict.fromkeys(report.names()), **record.values, "id": report.id, "seen": record.seen}


def allocations(*reports: Report) -> list[Allocation]:
    rows = [(type(report), row(report)) for report in reports]
    return allocations_of(*([row for kind, row in rows if kind is wanted] for wanted in (SessionReport, JobReport)))


def only(rows: Sequence[UsageRow]) -> UsageRow:
    [found] = rows
    return found


def allocation(start: float = NOON, hours: float = 1.0, **values: object) -> Allocation:
    base = Allocation("s1", "gpu-a", "a.ipynb", start, start + hours * HOUR, True, 2, 3.0)
    return replace(base, **values)  # type: ignore[arg-type]


def a_run(start: float = NOON, seconds: float = 60.0, **values: object) -> Run:
    return replace(Run("r1", "gpu-a", "a.ipynb", start, seconds, 10, 20, None, None), **values)  # type: ignore[arg-type]


def test_cost_and_gpu_seconds_run_from_start_to_end_idle_included() -> None:
    """One run of a minute in two hours on two GPUs: two hours are paid."""
    found = only(usage_rows([allocation(hours=2)], [a_run()]))
    assert (found.seconds, found.gpu_seconds, found.cost, found.run_seconds) == (2 * HOUR, 4 * HOUR, 6.0, 60.0)
    assert (found.runs, found.sent_bytes, found.received_bytes, found.open) == (1, 10, 20, 0)


def test_a_job_counts_and_its_session_not_again() -> None:
    """From the job's start to its end; the session, which began later and ended earlier, gives notebook, price and GPUs."""
    [found] = allocations(
        job(started=NOON, ended=NOON + HOUR),
        session(job_id="j1", started=NOON + 60, ended=NOON + 1800, notebook="a.ipynb", price_per_hour=2.0, gpus=4),
    )
    assert (found.seconds, found.notebook, found.gpus, found.price_per_hour) == (HOUR, "a.ipynb", 4, 2.0)


def test_a_job_without_a_session_costs_too() -> None:
    """Its own price and GPUs are counted; nobody's notebook."""
    [found] = allocations(job(started=NOON, ended=NOON + HOUR, gpus=1, price_per_hour=2.0))
    assert (found.cost(found.seconds), found.gpus, found.notebook) == (2.0, 1, "unknown")


def test_two_sessions_in_one_job_count_once() -> None:
    """The earlier one names the notebook."""
    [found] = allocations(
        session("s2", job_id="j1", started=NOON + 60, notebook="b.ipynb"),
        session("s1", job_id="j1", started=NOON, notebook="a.ipynb"),
        job(started=NOON, ended=NOON + HOUR),
    )
    assert (found.id, found.notebook) == ("j1", "a.ipynb")


def test_a_job_that_waits_in_the_queue_costs_nothing() -> None:
    """It has no start."""
    assert allocations(job(state="PENDING")) == []


def test_a_session_whose_job_nobody_has_told_counts_itself() -> None:
    """Better than nothing."""
    assert [each.id for each in allocations(session(job_id="j9", ended=NOON + HOUR))] == ["s1"]


def test_an_allocation_without_an_end_counts_until_it_was_last_heard_of() -> None:
    """Not until now: whoever reported it may be gone. The row says that it is open."""
    found = allocations(session(as_of=NOON + 1800))
    assert (found[0].seconds, only(usage_rows(found, [])).open) == (1800, 1)


def test_a_job_without_an_end_lives_as_long_as_its_session() -> None:
    """squeue was asked long before; the session was heard of since."""
    [found] = allocations(job(started=NOON), session(job_id="j1", as_of=NOON + HOUR))
    assert (found.seconds, found.is_ended) == (HOUR, False)


def test_an_end_before_the_start_is_no_time() -> None:
    """Two machines' clocks."""
    assert allocations(session(ended=NOON - 5))[0].seconds == 0


def test_what_has_no_price_has_no_cost() -> None:
    """None, not zero; beside what has one, the seconds left out are told."""
    free, paid = allocation(price_per_hour=None), allocation()
    assert only(usage_rows([free], [])).cost is None
    assert (only(usage_rows([free, paid], [])).cost, only(usage_rows([free, paid], [])).unpriced_s) == (3.0, HOUR)


def test_gpus_that_nobody_has_counted_are_none() -> None:
    """No GPU-seconds are made up."""
    assert only(usage_rows([allocation(gpus=None)], [])).gpu_seconds == 0


def test_only_what_is_in_the_window_counts() -> None:
    """Time is cut at its edges; a run's bytes and number belong where it started."""
    early, late = (
        usage_rows([allocation()], [a_run(seconds=HOUR)], *window) for window in [(None, NOON + 600), (NOON + 600, None)]
    )
    assert (only(early).seconds, only(early).run_seconds, only(early).runs, only(early).sent_bytes) == (600, 600, 1, 10)
    assert (only(late).seconds, only(late).run_seconds, only(late).runs, only(late).sent_bytes) == (3000, 3000, 0, 0)
    assert usage_rows([allocation()], [a_run()], since=NOON + DAY) == []


def test_by_notebook() -> None:
    """Two notebooks on one target."""
    found = usage_rows([allocation(), allocation(notebook="b.ipynb")], [a_run(notebook="b.ipynb")], by="notebook")
    assert [(row.key, row.seconds, row.runs) for row in found] == [("a.ipynb", HOUR, 0), ("b.ipynb", HOUR, 1)]


def test_by_day_cuts_at_midnight_of_the_zone() -> None:
    """From 23:30 to 00:30 in Berlin is half an hour each day, and one day in UTC."""
    start = datetime(2026, 7, 1, 23, 30, tzinfo=BERLIN).timestamp()
    found = usage_rows([allocation(start)], [], by="day", tz=BERLIN)
    assert [(row.key, row.seconds) for row in found] == [("2026-07-01", 1800), ("2026-07-02", 1800)]
    assert [row.key for row in usage_rows([allocation(start)], [], by="day", tz=timezone.utc)] == ["2026-07-01"]


@pytest.mark.parametrize(("date", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 7, 1), 24)], ids=str)
def test_a_day_is_as_long_as_it_is(date: tuple[int, int, int], hours: int) -> None:
    """When clocks change it has 23 or 25 hours."""
    start = datetime(*date, tzinfo=BERLIN).timestamp()
    (_, begun, ended), _ = days(start, start + 30 * HOUR, BERLIN)
    assert (begun, ended - begun) == (start, hours * HOUR)


def test_utilisation_is_the_mean_by_time_and_memory_the_peak() -> None:
    """Runs that were not measured say nothing."""
    runs = [
        a_run(seconds=30, gpu_utilisation=1.0, peak_gpu_bytes=5),
        a_run(seconds=90, gpu_utilisation=0.2, peak_gpu_bytes=9),
        a_run(seconds=500),
    ]
    found = only(usage_rows([], runs))
    assert found.gpu_utilisation == pytest.approx(0.4) and found.peak_gpu_bytes == 9


STRETCHES = st.builds(
    lambda start, hours, price, gpus: allocation(NOON + start, hours, price_per_hour=price, gpus=gpus),
    st.integers(0, 200_000),
    st.sampled_from([0.0, 0.25, 1.0, 30.0, 80.0]),
    st.sampled_from([None, 0.0, 2.0]),
    st.sampled_from([None, 1, 4]),
)
RUNS = st.builds(
    lambda start, seconds: a_run(NOON + start, seconds), st.integers(0, 200_000), st.sampled_from([0.0, 7.0, 90_000.0])
)


@given(st.lists(STRETCHES, max_size=4), st.lists(RUNS, max_size=4), st.lists(st.integers(-10, 600_000), max_size=4))
def test_windows_side_by_side_add_up_to_the_whole(parts: list[Allocation], runs: list[Run], cuts: list[int]) -> None:
    """Whatever is cut where, nothing is lost and nothing counts twice; days are such windows too."""
    edges: list[float | None] = [None, *sorted(NOON + cut for cut in cuts), None]
    pieces = [row for low, high in pairwise(edges) for row in usage_rows(parts, runs, low, high)]
    for rows in (pieces, usage_rows(parts, runs, by="day", tz=BERLIN)):
        for name in ("seconds", "gpu_seconds", "run_seconds", "runs", "sent_bytes", "unpriced_s", "cost"):
            whole = sum(getattr(row, name) or 0 for row in usage_rows(parts, runs))
            assert math.isclose(sum(getattr(row, name) or 0 for row in rows), whole, rel_tol=1e-9, abs_tol=1e-6), name
