"""Links that are slow and links that are lost, told apart by what they take and when they answer."""

from __future__ import annotations

from farcell.silence import BEAT_S, IN_FLIGHT_BYTES, MISSED_AT_MOST, Silence

MBIT = 1e6 / 8


def seconds_until_lost(silence: Silence, written: int, is_blocked: bool, is_welcome: bool = True) -> float:
    """From now on nothing is heard and nothing taken."""
    for beat in range(1, 100):
        if silence.beat(False, written, is_blocked, is_welcome):
            return beat * BEAT_S
    raise AssertionError("never lost")


def sending(silence: Silence, rate: float, seconds: float) -> int:
    """An upload that fills the link, during which nothing is heard; the bytes that were taken."""
    written = IN_FLIGHT_BYTES
    for _ in range(int(seconds / BEAT_S)):
        written += int(rate * BEAT_S)
        assert not silence.beat(False, written, True, True), "a link that takes bytes is there"
    return written


def test_an_idle_link_is_lost_within_eight_seconds() -> None:
    assert seconds_until_lost(Silence(), 100, False) <= 8


def test_a_link_that_is_cut_in_an_upload_is_lost_within_eight_seconds() -> None:
    for rate in (1 * MBIT, 10 * MBIT, 1000 * MBIT):
        silence = Silence()
        assert seconds_until_lost(silence, sending(silence, rate, 20), True) <= 8


def test_a_slow_upload_may_take_for_ever() -> None:
    """At 0.1 Mbit/s, and for an hour."""
    sending(Silence(), 0.1 * MBIT, 3600)


def test_what_is_on_its_way_when_all_is_written_is_waited_for() -> None:
    """At 10 Mbit/s buffers of 8 MiB are empty after 6.7 s, and then comes the answer to a question."""
    silence = Silence()
    written = sending(silence, 10 * MBIT, 20)
    assert seconds_until_lost(silence, written, False) > IN_FLIGHT_BYTES / (10 * MBIT) + BEAT_S


def test_a_fast_link_is_not_waited_for_longer_than_an_idle_one() -> None:
    silence = Silence()
    assert seconds_until_lost(silence, sending(silence, 1000 * MBIT, 20), False) <= 8


def test_an_answer_means_that_all_before_it_is_through() -> None:
    silence = Silence()
    written = sending(silence, 1 * MBIT, 20)
    assert not silence.beat(True, written, False, True)
    assert seconds_until_lost(silence, written, False) <= 8


def test_questions_that_are_taken_are_no_sign_of_life() -> None:
    """Into buffers that have room, on a link that is cut."""
    silence = Silence()
    assert [silence.beat(False, 24 * beat, False, True) for beat in range(1, 4)] == [False, False, True]


def test_the_first_answer_may_take_longer() -> None:
    assert seconds_until_lost(Silence(), 300, False, is_welcome=False) == (MISSED_AT_MOST + 1) * BEAT_S
