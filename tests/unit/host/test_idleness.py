"""When a session that nobody uses is warned of its end, and when it ends."""

from __future__ import annotations

import math

from farcell_host.idleness import Idleness, Verdict, spoken


def test_five_minutes_before_the_end_once() -> None:
    hour = Idleness(3600)
    looks = [hour.look(minutes * 60) for minutes in (10, 54, 55, 56, 59, 61)]
    assert looks == [Verdict.GOES_ON, Verdict.GOES_ON, Verdict.WARN, Verdict.GOES_ON, Verdict.GOES_ON, Verdict.RELEASE]


def test_work_in_between_takes_the_warning_back() -> None:
    watch = Idleness(3600)
    assert watch.look(3400) is Verdict.WARN
    assert watch.look(0) is Verdict.GOES_ON
    assert watch.look(3400) is Verdict.WARN


def test_nobody_is_released_unwarned() -> None:
    """Also when nobody looked for long, as on a machine that was stopped."""
    watch = Idleness(3600)
    assert [watch.look(9000), watch.look(9005)] == [Verdict.WARN, Verdict.RELEASE]


def test_a_short_time_out_leaves_a_quarter_and_an_endless_one_all() -> None:
    assert Idleness(8).lead_s == 2
    assert Idleness(math.inf).look(1e9) is Verdict.GOES_ON


def test_times_are_spoken() -> None:
    assert [spoken(each) for each in (6, 119, 300, 3300, 10800)] == ["6 s", "119 s", "5 min", "55 min", "3 h"]
