"""Targets that are jobs of a Slurm cluster, with a real one: what they ask for, the queue, and what schedulers do to jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clusters import ASKED, jobs, session_folder
from notebooks import Notebook
from places import define_target, over_slurm
from sandbox import Sandbox
from services.service import until
from services.slurm import Slurm
from services.sshd import Sshd


def test_a_job_has_what_the_target_and_the_cell_ask_for(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """The cell's options come before the target's."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, gpus=1, walltime="30m"))
    cell = notebook.run(f"%%remote a100 --gpus 2 --walltime 90m --gpu-type h100\n{ASKED}").check()
    job, devices, node = eval(cell.result or "")
    assert devices == "0,1" and node in cluster.nodes
    shown = cluster.run("scontrol", "show", "job", job).stdout
    assert "TimeLimit=01:30:00" in shown and "JobName=farcell-a100" in shown and "gres:gpu:h100:2" in shown


def test_a_running_session_is_not_what_another_cell_asks_for(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """It says what there is, and how to get the other; what fits runs, and so does a cell that asks for nothing."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node))
    notebook.run("%%remote a100 --gpus 1\nx = 1").check()
    cell = notebook.run("%%remote a100 --gpus 2\nx = 2")
    assert cell.error is not None
    assert "has gpus 1, cpus 1; this cell asks for gpus 2, cpus 1. %remote stop a100 ends it" in cell.error.value
    assert notebook.run("%%remote a100 --gpus 1\nx").check().result == "1"
    assert notebook.run("%%remote a100\nx").check().result == "1"


def test_options_for_a_scheduler_need_one(notebook: Notebook) -> None:
    notebook.run("%load_ext farcell").check()
    cell = notebook.run("%%remote local --gpus 1\n1")
    assert cell.error is not None and "'local' has no scheduler that could be asked for gpus" in cell.error.value


def test_nothing_secret_is_where_others_can_read(cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """Neither in the job's script, nor in what Slurm shows, nor in an argument; the files are the owner's alone."""
    notebook.run("import os; os.environ['FC_TOKEN'] = 'fc-' + 'secret-value'").check()
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, secrets=["FC_TOKEN"]))
    cell = notebook.run("%%remote a100\nimport os; (os.environ['FC_TOKEN'], os.environ['SLURM_JOB_ID'])").check()
    token, job = eval(cell.result or "")
    assert token == "fc-secret-value"
    folder = session_folder(sandbox)
    assert {file.name for file in folder.iterdir()} >= {"environment.sh", "identity.pem", "job.sh", "rendezvous.json"}
    assert folder.stat().st_mode & 0o77 == 0 and all(file.stat().st_mode & 0o77 == 0 for file in folder.iterdir())
    public = (folder / "job.sh").read_text() + cluster.run("scontrol", "show", "job", job).stdout + command_lines()
    key = (folder / "identity.pem").read_text().splitlines()[1]
    assert token not in public and key not in public and "PRIVATE KEY" not in public


def command_lines() -> str:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


def test_the_end_of_a_session_is_the_end_of_its_job(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node))
    notebook.run("%%remote a100\n1").check()
    assert len(jobs(cluster)) == 1
    notebook.run("%remote stop a100").check()
    assert not jobs(cluster)
    assert not list((sandbox.folder / "far" / "state" / "sessions").iterdir())


def test_a_queue_is_shown_and_is_no_time_out(cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """Why the job waits is in the cell, until it runs."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, gpus=2))
    holding = [cluster.submit("sleep 600", "--gres=gpu:2") for _ in cluster.nodes]
    running = notebook.start("%%remote a100\n6 * 7")
    running.until(lambda cell: "pending until there is room for it (Resources), priority " in "\n".join(cell.lines), 60)
    cluster.run("scancel", *holding)
    cell = running.finish(60).check()
    assert cell.result == "42" and "pending" not in json.dumps(cell.outputs)


@pytest.mark.parametrize("answer", ["cancel", "keep", "leave"])
def test_ctrl_c_in_the_queue_asks(answer: str, cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """What becomes of the job is the person's choice."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, gpus=2))
    holding = [cluster.submit("sleep 600", "--gres=gpu:2") for _ in cluster.nodes]
    running = notebook.start("%%remote a100\n6 * 7", answers=[answer])
    until(lambda: len(jobs(cluster)) == 3, 60, "the job in the queue")
    (waiting,) = set(jobs(cluster)) - set(holding)
    running.until(lambda cell: any(f"job {waiting} " in line for line in cell.lines), 60)
    notebook.interrupt()
    if answer == "keep":
        running.until(lambda cell: bool(cell.prompts), 30)
        cluster.run("scancel", *holding)
        assert running.finish(60).check().result == "42"
        return
    cell = running.finish(60)
    assert cell.error is not None and cell.error.name == "KeyboardInterrupt"
    if answer == "cancel":
        assert set(jobs(cluster)) == set(holding)
    else:
        assert f"Job {waiting} stays in the queue for the next cell on 'a100'" in cell.stderr
    cluster.run("scancel", *holding)
    cell = notebook.run(f"%%remote a100\n{ASKED}").check()
    assert (eval(cell.result or "")[0] == waiting) == (answer == "leave")


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "partition": ({"partition": "no-such"}, "invalid partition specified: no-such"),
    "too many GPUs": ({"gpus": 5}, "Requested node configuration is not available"),
    "setup": ({"setup": ["echo fine", "false"]}, "The setup command failed: false"),
    "python": ({"python": "/no/such/python"}, "/no/such/python cannot be run there (exit code 127)"),
    "no ipykernel": ({"python": "/usr/bin/python3 -S", "environment": "never"}, "has no ipykernel"),
    "state folder": ({"state_dir": "/proc/no"}, "set state_dir of the target to one that all nodes see"),
    "option": ({"sbatch": ["--no-such-option"]}, "unrecognized option '--no-such-option'"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_wrong_is_said_and_leaves_no_job(
    fault: str, cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    keys, said = REFUSED[fault]
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, **keys))
    cell = notebook.run("%%remote t\n1")
    assert cell.error is not None and said in cell.error.value
    until(lambda: not jobs(cluster), 30, "an empty queue")
    assert notebook.run("1 + 1").check().result == "2"


def test_a_node_that_cannot_be_reached_by_tcp_is_reached_through_slurm(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """All bytes as they are, both ways, and outputs in order."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, route="srun"))
    notebook.run("import random\ndata = random.Random(1).randbytes(3_000_001)").check()
    notebook.run("%%remote t\nfor n in range(2000):\n    print(n)\nback = bytes(reversed(data))").check()
    assert notebook.run("back == bytes(reversed(data))").check().result == "True"
    assert "attach" in command_lines()


def test_the_scheduler_may_be_on_this_machine(cluster: Slurm, sandbox: Sandbox, notebook: Notebook) -> None:
    """Without ssh, when the notebook itself runs on a login node."""
    notebook.run(f"import os; os.environ.update({cluster.environment()!r})").check()
    state = str(sandbox.folder / "far" / "state")
    define_target(sandbox, "here", backend="slurm", cpus=1, state_dir=state, env=sandbox.variables())
    assert notebook.run(f"%%remote here\n{ASKED}").check().result is not None
    assert len(jobs(cluster)) == 1


def test_a_cancelled_job_is_told_in_the_cell(cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """And the next cell has a new one."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node))
    first = notebook.run(f"%%remote t\n{ASKED}").check().result
    running = notebook.start("%%remote t\nprint('begun', flush=True)\nimport time; time.sleep(600)")
    running.until("begun")
    cluster.run("scancel", *jobs(cluster))
    cell = running.finish(90)
    assert cell.error is not None and "The run is interrupted: its job was cancelled." in cell.stderr
    cell = notebook.run(f"%%remote t\n{ASKED}").check()
    assert "is gone (its job was cancelled); a new one starts" in cell.stderr and cell.result != first


def test_the_controller_may_be_away_while_a_cell_runs(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """Nothing asks it once the host is connected."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node))
    notebook.run("%%remote t\nx = 1").check()
    cluster.kill_controller()
    try:
        assert notebook.run("%%remote t\nx + 1").check().result == "2"
    finally:
        cluster.restart()
    assert notebook.run("%%remote t\nx + 2").check().result == "3"


MODEL = "import numpy\nmodel = numpy.arange(1_000_000)\nlines = ['a', model]\nlock = __import__('threading').Lock()"


def test_what_only_the_job_has_is_saved_at_its_wall_time_and_comes_back(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """A warning before; nothing is run again; the next cell has the values in a new job, and shares what it shared."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, walltime="1m"))
    notebook.run("small = {'n': 1}").check()
    first = notebook.run(f"%%remote a100 --keep lines\n{MODEL}\nsmall['n'] += 1\n{ASKED}").check()
    asked = "__import__('farcell').connect('a100').session._life.connection.request('status').result(20)['ending']['why']"
    assert notebook.run(asked).check().result == "'wall-time'"
    running = notebook.start("%%remote a100\nsmall['n'] += 1\nprint('begun', flush=True)\nimport time; time.sleep(600)")
    running.until("The run is interrupted: its wall time is over.", 120)
    cell = running.finish(60)
    assert cell.error is not None and cell.error.name == "KeyboardInterrupt"
    assert notebook.run("small").check().result == "{'n': 3}"
    until(lambda: not jobs(cluster), 60, "the job's end")
    lost = notebook.run("model.sum()")
    assert lost.error is not None and "the next %%remote cell on 'a100' brings it back there" in lost.error.value
    cell = notebook.run(f"%%remote a100\nprint(lines[1] is model, int(model.sum()), small)\n{ASKED}").check()
    assert f"True {sum(range(1_000_000))} {{'n': 3}}" in cell.stdout
    assert "Back on 'a100' from the snapshot of" in cell.stderr and "Not in it: lock (" in cell.stderr
    assert eval(cell.result or "")[0] != eval(first.result or "")[0]


def test_a_run_that_does_not_stop_is_not_saved_half(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """A busy call of C's hears no interrupt: the job ends without a snapshot, and says so."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, save_grace_s=1.0))
    busy = "print('begun', flush=True); sum(range(10**11))"
    running = notebook.start(f"%%remote t\n{busy}")
    running.until("begun")
    cluster.run("scancel", "--batch", "--signal=TERM", *jobs(cluster))
    cell = running.finish(60)
    assert cell.error is not None and "its job was cancelled" in cell.error.value
    assert "Its variables could not be saved: the run did not stop within 1 s." in cell.stderr
    snapshots = sandbox.folder / "far" / "state" / "snapshots"
    assert not list(snapshots.glob("*"))


def test_a_warning_of_slurm_that_comes_early_ends_nothing(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """It may be a minute early; the job's own clock counts."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, walltime="30m"))
    notebook.run("%%remote t\nx = 1").check()
    cluster.run("scancel", "--batch", "--signal=USR1", *jobs(cluster))
    assert notebook.run("%%remote t\nx + 1").check().result == "2"
    assert len(jobs(cluster)) == 1


def test_a_snapshot_is_made_by_hand_and_brought_back_on_another_node(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """After a node has crashed: it is offered with its age, since it may not be the latest state."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node))
    first = notebook.run(f"%%remote t --keep model\n{MODEL}\n{ASKED}").check()
    assert "Saved: lines, model" in notebook.run("%remote save t").check().stderr
    node = eval(first.result or "")[2]
    running = notebook.start("%%remote t\nprint('begun', flush=True)\nimport time; time.sleep(600)")
    running.until("begun")
    cluster.crash_node(node)
    try:
        cell = running.finish(120)
        assert cell.error is not None and "NODE_FAIL" in cell.error.value
        cell = notebook.run(f"%%remote t\n{ASKED}", timeout=120).check()
        assert eval(cell.result or "")[2] != node
        assert "A snapshot of " in cell.stderr and "has lines, model, perhaps not as of late: %remote restore t" in cell.stderr
        assert "Back on 't'" in notebook.run("%remote restore t").check().stderr
        assert notebook.run("%%remote t\nint(model[-1]), lines[1] is model").check().result == "(999999, True)"
        assert "Removed 1 snapshots" in notebook.run("%remote forget t").check().stdout
    finally:
        cluster.start_node(node)


def test_a_restartable_cell_runs_again_when_the_scheduler_has_ended_its_job(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """By itself, in a new job, with what was saved and what it had changed until then; Ctrl-C still ends it."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node))
    notebook.run("tries = []\n%load_ext farcell").check()
    notebook.run(f"%%remote t --keep model\n{MODEL}").check()
    body = "tries.append(os.environ['SLURM_JOB_ID'])\nprint('try', len(tries), model[-1], flush=True)\n"
    running = notebook.start(f"%%remote t --restartable\nimport os, time\n{body}if len(tries) < 3: time.sleep(600)")
    running.until("try 1 999999")
    for count in (2, 3):
        cluster.run("scancel", *jobs(cluster))
        running.until(f"try {count} 999999", 60)
    running.finish(60).check()
    assert notebook.run("len(set(tries))").check().result == "3"
    running = notebook.start("%%remote t --restartable\nprint('begun', flush=True)\nimport time; time.sleep(600)")
    running.until("begun")
    notebook.interrupt()
    cell = running.finish(60)
    assert cell.error is not None and cell.error.name == "KeyboardInterrupt"
