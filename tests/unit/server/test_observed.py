"""What is pure in the server extension: leases, histories, faces of sessions and GPUs, pages of outputs."""

from __future__ import annotations

from typing import Any

import pytest
from farcell.backends.base import LaunchOptions
from farcell.everywhere import Session
from farcell.server import faces
from farcell.server.history import KEPT_S, History
from farcell.server.leases import Leases
from farcell.server.observatory import Watched, ended_runs_of, runs_of
from farcell.server.runlog import LARGEST_OUTPUT_BYTES, Page
from farcell_host.commands import OTHER_VERSION, SILENT
from farcell_host.protocol.messages import Channel, Message


def session(**status: Any) -> Session:
    return Session(LaunchOptions(target="t", backend="ssh", host="gpu-a"), {"runtime": "/r/s-1", "state": "idle", **status})


def face(**status: Any) -> Any:
    return faces.session_face(session(**status), idle_since=5.0, is_live=True, as_of=9.0)


def device(index: int = 0, **values: Any) -> dict[str, Any]:
    return {"vendor": "nvidia", "index": index, "uuid": f"u{index}", "name": "H100", "error": None, "processes": [], **values}


def test_a_lease_holds_until_its_time_and_can_be_renewed_or_made_shorter() -> None:
    leases = Leases()
    leases.take("a", 10.0)
    leases.take("b", 20.0)
    assert (leases.expire(9.0), len(leases)) == (10.0, 2)
    leases.take("a", 30.0)
    assert (leases.expire(20.0), len(leases)) == (30.0, 1)
    leases.take("a", 25.0)
    assert leases.expire(20.0) == 25.0
    leases.give_back("a")
    leases.give_back("a")
    assert leases.expire(20.0) is None and not leases


def test_a_history_is_five_minutes_long() -> None:
    history = History()
    for second in range(0, 400, 10):
        history.add({"devices": [device(utilisation_percent=second % 100)]}, float(second))
    (told,) = history.told()
    assert (told.samples[0].at, told.samples[-1].at) == (390.0 - KEPT_S, 390.0)
    assert [each.at for each in history.told(since=370.0)[0].samples] == [380.0, 390.0]
    history.add({"devices": []}, 390.0 + KEPT_S + 1)
    assert history.told() == [], "a GPU that has gone is forgotten with its last sample"


@pytest.mark.parametrize(
    ("status", "state", "actions"),
    [
        ({"state": "idle"}, "idle", ["stop", "restart"]),
        ({"state": "busy", "run": "r"}, "busy", ["stop", "interrupt", "restart"]),
        ({"state": "busy", "run": "r", "waiting_runs": ["w"]}, "busy", ["stop", "interrupt", "restart", "cancel"]),
        ({"state": "dead"}, "dead", ["stop", "restart"]),
        ({"state": SILENT}, "silent", ["stop"]),
        ({"state": OTHER_VERSION}, "other-version", ["stop"]),
        ({"state": "pending (Priority)", "is_waiting": True}, "waiting", ["stop", "cancel"]),
        ({"state": "COMPLETED", "is_over": True, "untaken_runs": ["r"]}, "over", ["stop"]),
        ({"state": "something new"}, "starting", ["stop", "restart"]),
    ],
)
def test_a_session_s_state_says_what_can_be_done(status: dict[str, Any], state: str, actions: list[str]) -> None:
    found = face(**status)
    assert (found.state, found.actions) == (state, actions)


def test_what_would_be_lost_is_each_run_once() -> None:
    found = face(state="busy", run="r", waiting_runs=["w"], untaken_runs=["u", "r"])
    assert found.runs_left == ["r", "w", "u"] and found.idle_since is None


def test_what_is_not_told_is_null_and_not_nought() -> None:
    found = face()
    assert (found.memory_bytes, found.is_driven, found.observers, found.job) == (None, None, None, None)
    told = face(memory_bytes=1, kernel_memory_bytes=2, connections=[["driver", "a"], ["observer", "b"]], job=12, node="n1")
    assert (told.memory_bytes, told.is_driven, told.observers, told.job, told.machine) == (3, True, 1, "12", "n1 (job 12)")


def test_no_gpu_is_not_that_nobody_could_ask() -> None:
    none = {"state": "none", "libraries": [{"vendor": "nvidia", "state": "none", "text": "not found", "driver": None}]}
    assert faces.gpus_face(session(), none, None, 1.0).state == "none"
    assert faces.gpus_face(session(), none, None, 1.0).message == "nvidia: not found"
    unasked = faces.gpus_face(session(), None, "no connection", None)
    assert (unasked.state, unasked.message, unasked.gpus) == ("unasked", "no connection", [])


def test_whose_a_gpu_s_processes_are() -> None:
    on_it = [{"pid": 7, "memory_bytes": 5, "owner": "session"}, {"pid": 8, "memory_bytes": None, "owner": "other"}]
    said = {"state": "devices", "kernel_pid": 7, "libraries": [], "devices": [device(processes=on_it), device(1, processes=None)]}
    first, second = faces.gpus_face(session(), said, None, 1.0).gpus
    assert [(each.pid, each.owner, each.is_kernel) for each in first.processes or ()] == [
        (7, "session", True),
        (8, "other", False),
    ]
    assert second.processes is None


def test_a_run_s_time_is_watched_from_when_it_was_seen_to_begin() -> None:
    """One that was there at the first look has been going on for nobody knows how long."""
    watched = Watched("here", session(), 0.0)
    watched.told = {"state": "busy", "run": "a"}
    watched.hear(10.0)
    watched.told = {"state": "busy", "run": "a", "waiting_runs": ["b"]}
    watched.hear(11.0)
    watched.told = {"state": "busy", "run": "b", "untaken_runs": ["a"]}
    watched.hear(12.0)
    watched.hear(13.0)
    found = {(run.id, run.state): (run.since, run.seen_from_start) for run in runs_of(watched)}
    assert found == {("b", "running"): (12.0, True), ("a", "untaken"): (12.0, True)}
    assert Watched("here", session(), 0.0).runs == {}


def test_idle_time_does_not_jitter() -> None:
    watched = Watched("here", session(), 0.0)
    for now, idle_s in ((100.0, 10.0), (101.0, 11.3), (102.0, 11.8)):
        watched.told = {"state": "idle", "idle_s": idle_s}
        watched.hear(now)
        assert watched.idle_since == 90.0
    watched.told = {"state": "idle", "idle_s": 0.5}
    watched.hear(110.0)
    assert watched.idle_since == 109.5


def test_the_end_of_a_session_is_a_moment_that_does_not_jitter() -> None:
    """Told as seconds from now by its host, shown by this machine's clock."""
    watched = Watched("here", session(), 0.0)
    for now, in_s in ((100.0, 600.0), (101.0, 598.6), (160.0, 540.9)):
        watched.told = {"state": "idle", "ending": {"in_s": in_s, "why": "idle", "lead_s": 150.0}}
        watched.hear(now)
        assert watched.ends_at == 700.0
    found = faces.session_face(watched.session, idle_since=5.0, is_live=True, as_of=9.0, ends_at=watched.ends_at)
    assert (found.ends_at, found.ends_why, found.ends_lead_s) == (700.0, "idle", 150.0)
    watched.told = {"state": "busy", "run": "a", "ending": None}
    watched.hear(170.0)
    assert watched.ends_at is None and face(ending=None).ends_why is None


def test_what_travels_for_a_run_is_told_while_it_does_and_a_moment_after() -> None:
    watched = Watched("here", session(), 0.0)
    arriving = {"cells": {"b": "c2"}, "requests": {"b": "m2"}, "run": "a", "sent_bytes": 70, "arriving": {"b": [10, 40]}}
    over = {"run": "z", "cell": "c1", "request": "m1", "sent_bytes": 5, "received_bytes": None}
    watched.told = {"state": "busy", "run": "a", "waiting_runs": ["b"], "face": {**arriving, "moved": [over]}}
    watched.hear(10.0)
    found = {run.id: (run.request, run.sent_bytes, run.arrived_bytes, run.arriving_bytes) for run in runs_of(watched)}
    assert found == {"a": (None, 70, None, None), "b": ("m2", None, 10, 40)}
    [ended] = ended_runs_of(watched)
    assert (ended.id, ended.cell, ended.request, ended.sent_bytes, ended.received_bytes) == ("z", "c1", "m1", 5, None)


def shown(kind: str, run: str = "r", channel: Channel = Channel.IOPUB, **content: Any) -> Message:
    return Message.build(channel, kind, content, parent={"farcell_run": run})


def test_a_page_has_the_outputs_of_one_run() -> None:
    page = Page("r", limit=2)
    for number, message in enumerate(
        [
            shown("status", execution_state="busy"),
            shown("stream", "other", name="stdout", text="no"),
            shown("stream", name="stdout", text="yes"),
            shown("comm_msg", data={}),
            shown("display_data", data={"text/plain": "x" * (LARGEST_OUTPUT_BYTES + 1)}, metadata={}, transient={}),
            shown("stream", name="stdout", text="on the next page"),
        ],
        1,
    ):
        page.take(number, message)
    first, large = page.outputs
    assert (first.number, first.text) == (3, "yes") and large.left_out_bytes and large.data is None
    assert page.is_full and not page.is_over


def test_the_reply_ends_a_page_and_has_the_error() -> None:
    page = Page("r", limit=1)
    reply = shown("farcell_run_reply", channel=Channel.SHELL, status="error", ename="E", evalue="v", traceback=["t"])
    page.take(4, reply)
    page.take(5, shown("stream", name="stdout", text="of a thread"))
    (error,) = page.outputs
    assert (error.type, error.ename, error.traceback) == ("error", "E", ["t"]) and page.is_over and not page.is_full


def test_output_that_a_journal_has_dropped_is_told_in_its_place() -> None:
    page = Page("r", limit=5)
    page.take(1, shown("farcell_output_dropped", messages=3, bytes=100))
    assert "3 messages" in str(page.outputs[0].text)
