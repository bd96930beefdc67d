"""What the folders of sessions tell together with squeue, as texts: of a session that runs, waits, is over, or is forgotten."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from farcell.backends.slurm.folders import end_of, is_litter, parse_folders, status_of
from farcell.backends.slurm.jobs import Job
from farcell.backends.slurm.queue import Look

NOW = time.time()


def listing(**files: Any) -> str:
    """As `scripts.folders` prints one session."""
    about = {"notebook": "n", "target": "t", "submitted": NOW - 900, "command": "python3"} | files.pop("about", {})
    lines = ["session /home/ada/s/s-12345678", "job 7", "pyz /home/ada/c/host.pyz", f"about.json {json.dumps(about)}"]
    lines += [f"{name}.json {json.dumps(fields)}" for name, fields in files.items() if name != "journal"]
    return "\n".join([*lines, *(["journal"] if "journal" in files else [])])


def status(look: Look, **files: Any) -> dict[str, Any]:
    (folder,) = parse_folders(listing(**files))
    return status_of(folder, look)


def look(state: str | None, **fields: Any) -> Look:
    return Look(NOW, {} if state is None else {"7": Job("7", state, **fields)})


HOST = {"runtime": "/tmp/farcell-1000/s-12345678", "pid": 9, "socket": "/tmp/s", "node": "gpu1", "started": NOW - 800}


def test_a_job_that_waits_says_why() -> None:
    """A run that was left with it waits too."""
    found = status(look("PENDING", reason="Resources"), about={"run": "ab12"})
    assert found["state"] == "pending until there is room for it (Resources)" and found["waiting_runs"] == ["ab12"]
    assert (found["runtime"], found["session"], found["job"]) == ("/home/ada/s/s-12345678", "/home/ada/s/s-12345678", "7")


def test_a_host_tells_what_it_does() -> None:
    said = {"state": "busy", "run": "cd34", "waiting_runs": [], "untaken_runs": [], "connections": [["driver", "x"]], "at": NOW}
    found = status(look("RUNNING", nodes="gpu1"), rendezvous=HOST, state=said)
    assert (found["state"], found["run"], found["node"], found["runtime"]) == ("busy", "cd34", "gpu1", HOST["runtime"])
    assert found["connections"] == [["driver", "x"]]


@pytest.mark.parametrize("now", [look("NODE_FAIL", nodes="gpu1", end=NOW - 60), look(None)])
def test_of_a_job_that_is_over_the_runs_are_left_that_nobody_has_taken(now: Look) -> None:
    """As long as its journal is there; also when squeue has forgotten it."""
    said = {"state": "busy", "run": "cd34", "untaken_runs": ["ab12"], "at": NOW - 90}
    found = status(now, rendezvous=HOST, state=said, journal=True)
    assert found["untaken_runs"] == ["cd34", "ab12"] and found.get("run") is None and found["is_over"]
    assert status(now, rendezvous=HOST, state=said)["untaken_runs"] == []
    assert status(now, rendezvous=HOST, state={**said, "run": None, "untaken_runs": []}, journal=True)["untaken_runs"] == []


def test_of_a_host_without_a_last_word_the_end_is_told() -> None:
    said = {"state": "busy", "run": "cd34", "at": NOW - 90}
    assert status(look("NODE_FAIL", end=NOW - 60), rendezvous=HOST, state=said)["ended_unheard"] == NOW - 60
    last = {"reason": "its wall time is over", "at": NOW - 70}
    found = status(look("TIMEOUT", end=NOW - 60), state=said, ended=last)
    assert found["ended"] == last and "ended_unheard" not in found


def test_a_job_that_was_submitted_just_now_may_not_be_listed_yet() -> None:
    found = status(look(None), about={"submitted": NOW - 5})
    assert found["state"] == "submitted"


def test_without_an_answer_of_squeue_nothing_is_over() -> None:
    found = status(Look(0.0, {}, "away"), rendezvous=HOST, state={"state": "busy", "run": "cd34", "at": NOW})
    assert found["run"] == "cd34"


def test_the_end_of_a_job_is_slurms_word_or_the_last_sign_of_life() -> None:
    (folder,) = parse_folders(listing(rendezvous=HOST, state={"at": NOW - 90}))
    assert end_of(folder, look("NODE_FAIL", end=NOW - 60).jobs) == NOW - 60
    assert end_of(folder, {}) == NOW - 90


def test_what_nobody_can_use_is_removed_after_a_day() -> None:
    for age, expected in ((3600, False), (90000, True)):
        (folder,) = parse_folders(listing(about={"submitted": NOW - 99999}, ended={"at": NOW - age, "reason": "idle"}))
        assert is_litter(folder, look(None)) is expected
    (folder,) = parse_folders(listing(state={"at": NOW - 90000, "untaken_runs": ["ab12"]}, journal=True))
    assert not is_litter(folder, look(None))


def test_noise_and_half_files_are_passed_over() -> None:
    """A login shell's greeting; a folder whose job was never submitted; a file that is being written."""
    text = "Welcome\n" + listing(state={}) + '\nsession /home/ada/s/s-00000000\nabout.json {"no'
    (folder,) = parse_folders(text)
    assert folder.session == "s-12345678" and folder.state == {}
