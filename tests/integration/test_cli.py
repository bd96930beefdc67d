"""The command line as it is typed: `python -m farcell ...`, against a real SSH server and this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import farcell, said
from notebooks import Notebook
from places import define_target, over_slurm, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd


def targets_toml(box: Sandbox) -> Path:
    return box.jupyter_config / "farcell" / "targets.toml"


# -- targets


def test_a_target_is_added_and_all_else_in_the_file_stays(sandbox: Sandbox) -> None:
    """Comments and the file's mode too; values are texts where the target wants texts."""
    file = targets_toml(sandbox)
    file.parent.mkdir()
    before = '# mine\n[targets.big]   # the old one\nbackend = "local"\nkeep_s = 30  # short\n'
    file.write_text(before)
    file.chmod(0o640)
    words = ("gpu-a", "--backend", "ssh", "--host", "gpu-a", "user=7", "keep_s=inf", 'setup=["module load cuda"]', "env.N=8")
    added = farcell(sandbox, "targets", "add", *words)
    assert added.returncode == 0 and "Next: farcell doctor gpu-a" in added.stdout
    text = file.read_text()
    assert text.startswith(before) and file.stat().st_mode & 0o777 == 0o640
    for line in ('user = "7"', "keep_s = inf", 'setup = ["module load cuda"]', 'N = "8"'):
        assert line in text
    assert farcell(sandbox, "targets", "add", "gpu-a", "--host", "b").returncode == 2
    assert file.read_text() == text
    assert farcell(sandbox, "targets", "add", "gpu-a", "--replace", "--backend", "ssh", "--host", "b").returncode == 0
    assert file.read_text().startswith(before) and '"gpu-a"' not in file.read_text()


def test_what_a_broker_lends_is_tried_and_not_looked_into(sandbox: Sandbox) -> None:
    """Doctor has no shell there: nothing names it, and it says so itself."""
    added = farcell(sandbox, "targets", "add", "pool", "--backend", "broker", "url=http://127.0.0.1:9/", "token_variable=NONE")
    assert added.returncode == 0 and "Next: farcell targets test pool" in added.stdout
    tried = farcell(sandbox, "targets", "test", "pool")
    assert tried.returncode == 1 and "wants a token" in tried.stderr and "doctor" not in tried.stderr
    for command in ("doctor", "clean"):
        assert "has no shell" in farcell(sandbox, command, "pool").stderr


def test_what_is_wrong_is_not_written(sandbox: Sandbox) -> None:
    """A new file is only its owner's to read."""
    wrong = farcell(sandbox, "targets", "add", "gpu-a", "--backend", "shh", "keep_s=-1")
    assert wrong.returncode == 2 and "Did you mean 'ssh'?" in wrong.stderr and "greater than 0" in wrong.stderr
    assert not targets_toml(sandbox).exists()
    assert farcell(sandbox, "targets", "add", "a").returncode == 0
    assert targets_toml(sandbox).stat().st_mode & 0o777 == 0o600


def test_the_list_says_which_tables_are_wrong(sandbox: Sandbox) -> None:
    define_target(sandbox, "good", backend="ssh", host="gpu-a", user="ada")
    define_target(sandbox, "bad", keep_s=-1)
    found = said(sandbox, "targets", "list", code=1)
    rows = {row["name"]: row for row in found["targets"]}
    assert rows["good"]["where"] == "ada@gpu-a" and not rows["good"]["problems"]
    assert "targets.bad.keep_s" in rows["bad"]["problems"][0]
    listed = farcell(sandbox, "targets", "list")
    assert listed.returncode == 1 and "ada@gpu-a" in listed.stdout and "targets.bad.keep_s" in listed.stderr


@pytest.mark.parametrize("way", ["local", "ssh"])
def test_a_target_is_tried(way: str, sshd: Sshd, sandbox: Sandbox) -> None:
    if way == "ssh":
        define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    found = said(sandbox, "targets", "test", "t" if way == "ssh" else way)
    assert found["ok"] and [step["step"] for step in found["steps"]] == [
        "session started", "first cell", "second cell", "session ended",
    ]  # fmt: skip


def test_a_target_that_does_not_work_is_told(sandbox: Sandbox) -> None:
    define_target(sandbox, "t", backend="ssh", host="no-such-host.invalid")
    found = farcell(sandbox, "targets", "test", "t")
    assert found.returncode == 1 and "farcell doctor t" in found.stderr and "no-such-host.invalid" in found.stderr


def test_wrong_words_are_answered_with_the_right_ones(sandbox: Sandbox) -> None:
    assert farcell(sandbox, "targets", "lst").returncode == 2
    unknown = farcell(sandbox, "targets", "test", "gpu-b")
    assert unknown.returncode == 2 and "Unknown target 'gpu-b'" in unknown.stderr
    assert farcell(sandbox, "sessions", "--all-of-them").returncode == 2
    assert "farcell doctor gpu-a" in farcell(sandbox, "--help").stdout


# -- sessions and runs


def test_sessions_and_their_runs_are_seen_from_a_terminal(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """On this machine and on another one; a run's outputs come from its host, also while it goes on."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    notebook.run("%%remote t\nimport sys\nprint('over there')\nprint('aside', file=sys.stderr)\n6 * 7").check()
    notebook.run("%%remote local --detach\n1 / 0").check()
    gate = sandbox.folder / "gate"
    waits = (
        f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\nprint('done')"
    )
    notebook.run(f"%%remote t --detach\n{waits}").check()
    over_there, here, going = _runs(notebook)

    listed = said(sandbox, "sessions")
    assert {session["target"] for session in listed["sessions"]} == {"t", "local"} and not listed["faults"]
    assert [session["target"] for session in said(sandbox, "sessions", "--here")["sessions"]] == ["local"]

    shown = farcell(sandbox, "logs", over_there)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "over there\n42\n", "aside\n")
    failed = farcell(sandbox, "logs", here)
    assert failed.returncode == 0 and "ZeroDivisionError" in failed.stderr
    so_far = farcell(sandbox, "logs", going)
    assert so_far.stdout == "begun\n" and "goes on. --follow waits" in so_far.stderr
    words = [sys.executable, "-m", "farcell", "logs", going, "--follow", "--json"]
    with subprocess.Popen(words, env=sandbox.environment(), stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["content"]["text"] == "begun\n"
        gate.touch()
        rest = [json.loads(line) for line in following.stdout]
    assert rest[0]["content"]["text"] == "done\n" and rest[-1]["content"]["status"] == "ok"
    assert following.returncode == 0
    assert said(sandbox, "sessions", "--end", _session(listed, "t"), "--yes")["target"] == "t"


def test_a_run_in_a_job_is_seen_from_a_terminal(login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """And what its job may use is not removed."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node))
    notebook.run("%%remote t\nprint('in a job')").check()
    notebook.run("from farcell.api import workspace\nid = workspace().runs[0].summary.run").check()
    shown = farcell(sandbox, "logs", str(notebook.value("id"))[:8])
    assert (shown.returncode, shown.stdout) == (0, "in a job\n"), shown.stderr
    found = said(sandbox, "clean", "t", "--all", "--yes")
    assert {each["used"] for each in found["found"] if each["kind"] == "kernel host"} <= {"a job", "a process here"}
    assert not found["removed"]
    notebook.run("%remote stop t").check()


def test_what_cannot_be_asked_or_found_is_said(sandbox: Sandbox) -> None:
    define_target(sandbox, "t", backend="ssh", host="no-such-host.invalid")
    found = said(sandbox, "sessions", code=1)
    assert found["sessions"] == [] and "no-such-host.invalid" in found["faults"][0]
    lost = farcell(sandbox, "logs", "abcdef")
    assert lost.returncode == 1 and "No session that lives has a run 'abcdef'" in lost.stderr and "invalid" in lost.stderr


def _runs(notebook: Notebook) -> list[str]:
    """Ids: of the first run, then of the detached ones."""
    code = "from farcell.api import workspace\nw = workspace()\nids = [w.runs[0].summary.run, *w.detached]"
    notebook.run(code).check()
    found = notebook.value("ids")
    assert isinstance(found, list)
    return found


def _session(listed: Any, target: str) -> str:
    return next(str(session["id"]) for session in listed["sessions"] if session["target"] == target)


# -- what is left


def test_only_what_no_session_uses_is_removed(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """A session that lives goes on, and what it was started with stays."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    notebook.run("%%remote t\nx = 1").check()
    far = sandbox.folder / "far"
    old, dead = far / "cache" / "host-0123456789abcdef.pyz", far / "r" / "s-00000000"
    old.write_bytes(b"x" * 5000)
    dead.mkdir()
    (dead / "host.json").write_text("{}")
    for path in (dead / "host.json", dead):
        os.utime(path, (0, 0))
    asked = farcell(sandbox, "clean", "t")
    assert asked.returncode == 0 and str(old) in asked.stdout and str(dead) in asked.stdout and "--yes" in asked.stderr
    assert old.exists() and dead.exists()
    cleaned = said(sandbox, "clean", "t", "--all", "--yes")
    assert {str(old), str(dead)} <= set(cleaned["removed"]) and not old.exists() and not dead.exists()
    (host,) = [each for each in cleaned["found"] if each["kind"] == "kernel host" and each["path"] != str(old)]
    assert host["used"] == "a process here" and host["path"] not in cleaned["removed"]
    assert notebook.run("%%remote t\nx + 1").check().result == "2"
    notebook.run("%remote stop t").check()
    assert host["path"] in said(sandbox, "clean", "t", "--all", "--yes")["removed"]


def test_nothing_is_left_where_nothing_was(sshd: Sshd, sandbox: Sandbox) -> None:
    """Nor by looking."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    clean = farcell(sandbox, "clean", "t")
    assert clean.returncode == 0 and clean.stdout == "Left on 't', used by nothing: nothing\n"
    assert not (sandbox.folder / "far").exists()
    assert said(sandbox, "clean", "local", "--yes") == {"target": "local", "found": [], "removed": []}
