"""Jobs of a cluster as sessions: found from any notebook, after a restart, put back into the queue, after their node has died."""

from __future__ import annotations

import re

import pytest
from clusters import ASKED, jobs, session_folder
from ledgers import sql
from notebooks import Cell, Notebook
from places import define_target, over_slurm
from sandbox import Sandbox
from services.service import until
from services.slurm import Slurm
from services.sshd import Sshd

GOES_ON = "print('begun', flush=True)\nimport os, time\nwhile not os.path.exists(gate): time.sleep(0.02)\n"


def rows(cell: Cell) -> list[str]:
    """Of the table of sessions."""
    text = str(cell.check().displays[0]["text/plain"])
    return [] if text == "All sessions: none" else text.splitlines()[3:]


def session_in(row: str) -> str:
    found = re.match(r"s-\w{8}\b", row)
    assert found is not None, row
    return found[0]


def test_jobs_that_run_and_wait_are_listed_and_ended(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """From another notebook, with job, node, and reason in Slurm's words; the cell that waits is told."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, gpus=1))
    define_target(sandbox, "wide", **over_slurm(sandbox, login_node, gpus=2))
    job, _, node = eval(notebook.run(f"%%remote a100\n{ASKED}").check().result or "")
    other_node = next(name for name in cluster.nodes if name != node)
    holding = cluster.submit("sleep 600", "--gres=gpu:2", f"--nodelist={other_node}")
    waiting = notebook.start("%%remote wide\n1")
    waiting.until(lambda cell: "pending until there is room for it (Resources)" in "\n".join(cell.lines), 60)
    (queued,) = set(jobs(cluster)) - {holding, job}
    with Notebook(sandbox) as other:
        other.run("%load_ext farcell").check()
        runs, waits = sorted(rows(other.run("%remote sessions --all")), key=lambda row: " wide " in row)
        assert re.search(rf" a100 +{node} \(job {job}\) .* idle +\d+ s +- +\d+(\.\d+)? MB$", runs), runs
        assert re.search(rf" \(job {queued}\) .* pending until there is room for it \(Resources\)", waits), waits
        other.run(f"%remote sessions --all --end {session_in(waits)}").check()
        cell = waiting.finish(60)
        assert cell.error is not None and f"job {queued} ended, CANCELLED" in cell.error.value
        other.run(f"%remote sessions --all --end {session_in(runs)}").check()
        assert set(jobs(cluster)) == {holding} and rows(other.run("%remote sessions --all")) == []


def test_a_run_in_a_job_goes_on_while_the_kernel_is_restarted(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """The first cell on the target tells of it; a new kernel attaches to it, or ends it."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node))
    gate = sandbox.folder / "gate"
    notebook.run(f"data, gate = [0], {str(gate)!r}").check()
    notebook.start(f"%%remote t\ndata.append(1)\n{GOES_ON}made = {{'of': data}}\nprint('done')").until("begun")
    (first,) = jobs(cluster)
    notebook.restart()
    notebook.run("%load_ext farcell").check()
    told = notebook.run("%%remote t\n1").check().stderr
    found = re.search(r"Run (\w{8}) on 't' goes on.* (%remote sessions --all --end s-\w{8} --yes) ends it\.", told)
    assert found is not None, told
    assert len(jobs(cluster)) == 2
    notebook.run("%remote stop t").check()
    attached = notebook.start(f"%remote attach {found[1]}")
    attached.until("begun")
    gate.touch()
    assert attached.finish(60).check().stdout == "begun\ndone\n"
    assert notebook.value("(made, made['of'] is data)") == ({"of": [0, 1]}, True)
    assert eval(notebook.run(f"%%remote t\n{ASKED}").check().result or "")[0] == first
    notebook.restart()
    notebook.run("%load_ext farcell").check()
    told = notebook.run("%%remote t\n1").check().stderr
    found = re.search(rf"Job {first} of this notebook's earlier kernel is .* 't' \(idle\): (%remote .*) ends it\.", told)
    assert found is not None, told
    notebook.run(found[1]).check()
    assert first not in jobs(cluster)


def test_a_job_that_is_put_back_is_taken_up_again(cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """With what it had saved. The run that was interrupted is not run again, unless it says --restartable."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, sbatch=["--requeue"]))
    notebook.run("tries = []").check()
    first = notebook.run(f"%%remote t --keep model\nmodel = list(range(5))\n{ASKED}").check()
    job = eval(first.result or "")[0]
    running = notebook.start("%%remote t --keep model\nprint('begun', flush=True)\nimport time; time.sleep(600)")
    running.until("begun")
    cluster.run("scontrol", "requeue", job)
    cell = running.finish(60)
    assert cell.error is not None and "The run is interrupted: the scheduler ends its job." in cell.stderr
    body = "import os, time\ntries.append(os.environ['SLURM_RESTART_COUNT'])\nprint('try', len(tries), model[-1], flush=True)\n"
    running = notebook.start(f"%%remote t --restartable\n{body}if len(tries) < 2: time.sleep(600)")
    running.until("try 1 4", 60)
    cluster.run("scontrol", "requeue", job)
    running.until("try 2 4", 60)
    cell = running.finish(60).check()
    assert cell.stderr.count(f"Job {job} was put back into the queue: it is taken up.") == 2
    assert "Back on 't' from the snapshot of" in cell.stderr and "The run begins again" in cell.stderr
    assert notebook.value("tries") == ["1", "2"] and jobs(cluster) == [job]


LEFT = """
import mine, sys
for n in range(3): print('line', n)
data.append(int(big.sum()) + mine.two)
made = {'of': data}
try: getattr(sys.modules['__main__'], 'se' + 'cret')
except Exception as error: print(error)
made['of']
"""


def leave_in_queue(cluster: Slurm, notebook: Notebook, holding: list[str]) -> str:
    """Has the cell wait in the queue, presses Ctrl-C and detaches it; the run."""
    (notebook.sandbox.folder / "mine.py").write_text("two = 2\n")
    notebook.run("import numpy, mine\nbig, data, secret = numpy.ones(200_000, 'i8'), [0], 1").check()
    running = notebook.start(f"%%remote t\n{LEFT}", answers=["d"])
    until(lambda: len(jobs(cluster)) == len(holding) + 1, 60, "the job in the queue")
    (job,) = set(jobs(cluster)) - set(holding)
    running.until(lambda cell: any(f"job {job} " in line for line in cell.lines), 60)
    notebook.interrupt()
    cell = running.finish(60)
    assert cell.error is not None
    found = re.search(rf"Run (\w{{8}}) waits with job {job} and begins when that starts", cell.error.value)
    assert found is not None, cell.error.value
    return found[1]


def test_a_cell_is_left_with_its_job_and_attached_to_in_the_queue(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """It has what it reads, also large values and modules of the notebook's own, and asks nobody for more."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, gpus=2))
    holding = [cluster.submit("sleep 600", "--gres=gpu:2") for _ in cluster.nodes]
    run = leave_in_queue(cluster, notebook, holding)
    attached = notebook.start(f"%remote attach {run}")
    attached.until(lambda cell: "pending until there is room for it (Resources)" in "\n".join(cell.lines), 60)
    cluster.run("scancel", *holding)
    cell = attached.finish(60).check()
    assert cell.stdout.startswith("line 0\nline 1\nline 2\n") and "name 'secret' cannot be fetched" in cell.stdout
    assert notebook.value("(made, made['of'] is data)") == ({"of": [0, 200_002]}, True)
    assert notebook.run("%%remote t\ndata.append(3); len(data)").check().result == "3"


def test_what_a_cell_made_that_was_left_with_its_job_outlives_the_job(
    cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """With nobody there from its beginning to its job's end: its output is shown later, and what it made is brought back."""
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, gpus=2, keep_s=1))
    holding = [cluster.submit("sleep 600", "--gres=gpu:2") for _ in cluster.nodes]
    run = leave_in_queue(cluster, notebook, holding)
    notebook.restart()
    cluster.run("scancel", *holding)
    until(lambda: not jobs(cluster), 60, "the job's end")
    notebook.run("%load_ext farcell").check()
    cell = notebook.run(f"%remote attach {run}").check()
    assert cell.stdout.startswith("line 0\nline 1\nline 2\n")
    assert "Its session has saved big, data, made, n as it ended: %remote restore t brings them back." in cell.stderr
    notebook.run("%remote restore t made").check()
    assert notebook.value("made") == {"of": [0, 200_002]}


@pytest.mark.slow
def test_what_a_node_leaves_that_dies(cluster: Slurm, login_node: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """All output until then, in the cell that waits though its link was cut before, and in a kernel that comes later; the ledger
    has the end of both jobs."""
    sandbox.ledger = sandbox.folder / "ledger.sqlite"
    define_target(sandbox, "t", **over_slurm(sandbox, login_node, sbatch=["--nodelist=gpu1"]))
    gate, said = sandbox.folder / "gate", sandbox.folder / "said"
    with Notebook(sandbox, name="kept.ipynb") as kept, Notebook(sandbox, name="cut.ipynb") as cut:
        for each in (kept, cut):
            each.run(f"%load_ext farcell\ngate, said = {str(gate)!r}, {str(said)!r}").check()
        kept.start(f"%%remote t\n{GOES_ON}time.sleep(600)").until("begun")
        state = session_folder(sandbox) / "state.json"
        until(lambda: '"run": "' in state.read_text(), 30, "the run in the session's folder")
        kept.restart()
        last = "print('last words', flush=True)\ntime.sleep(0.5)\nos.mkdir(said)\ntime.sleep(600)"
        waiting = cut.start(f"%%remote t\n{GOES_ON}{last}")
        waiting.until("begun")
        first, second = jobs(cluster)
        login_node.freeze()
        login_node.drop()
        try:
            gate.touch()
            until(said.exists, 30, "the last words")
            cluster.crash_node("gpu1")
            until(lambda: cluster.state(first) == cluster.state(second) == "NODE_FAIL", 60, "Slurm's finding out")
        finally:
            login_node.thaw()
            cluster.start_node("gpu1")
        cell = waiting.finish(60)
        assert cell.stdout == "begun\nlast words\n" and cell.error is not None and "NODE_FAIL" in cell.error.value
        kept.run("%load_ext farcell").check()
        cell = kept.run("%remote attach")
        assert cell.stdout == "begun\n" and cell.error is not None and "its job has ended: NODE_FAIL" in cell.error.value
        assert "What it had changed was only there. %remote restore t looks for an older snapshot." in cell.stderr
        again = kept.run("%remote attach")
        assert again.error is not None and "Left by an earlier kernel of this notebook: none." in again.error.value
        until(lambda: len(ends(sandbox)) == 2, 30, "both ends in the ledger")
        assert all("NODE_FAIL" in reason for _, reason in ends(sandbox))


def ends(sandbox: Sandbox) -> list[tuple[float, str]]:
    """Of the jobs in the ledger: when and why."""
    return sql(sandbox.ledger, "SELECT ended, reason FROM jobs WHERE ended IS NOT NULL") if sandbox.ledger.exists() else []
