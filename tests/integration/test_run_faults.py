"""What goes wrong with a remote cell ends, says what happened, and leaves the notebook usable."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from hostclient import wait_until_taken
from notebooks import Cell, Notebook
from sandbox import Sandbox


def only_error(cell: Cell, *names: str) -> str:
    """The one error shown, of one of these names; its text."""
    assert len(cell.errors) == 1 and cell.errors[0].name in names, cell.errors
    return cell.errors[0].value


def test_a_killed_kernel_is_reported_and_replaced(notebook: Notebook) -> None:
    """SIGKILL in mid-cell: the message names signal and next step; the next cell runs in a new kernel."""
    notebook.run("kept = [1]").check()
    notebook.run("%%remote\nkept.append(2)").check()
    running = notebook.start("%%remote\nimport time\nkept.append(3)\nprint('go', flush=True)\ntime.sleep(60)")
    running.until("go")
    kernel = psutil.Process(_kernel_pid(notebook))
    assert "farcell_host" in " ".join(kernel.cmdline())
    kernel.kill()
    text = only_error(running.finish(20), "KernelDied")
    assert "'local' was killed by SIGKILL" in text and "Run the cell again" in text
    assert notebook.value("kept") == [1, 2]
    cell = notebook.run("%%remote\nkept.append(4)\nlen(kept)").check()
    assert cell.result == "3"
    assert "a new one starts" in cell.stderr


def _kernel_pid(notebook: Notebook) -> int:
    """From the runtime folder: the notebook's own kernel is busy."""
    (info,) = notebook.sandbox.runtime.glob("*/host.json")
    return int(json.loads(info.read_text())["kernel_pid"])


def _host_pid(notebook: Notebook) -> int:
    (info,) = notebook.sandbox.runtime.glob("*/host.json")
    return int(json.loads(info.read_text())["pid"])


def test_an_exit_in_the_cell_is_reported(notebook: Notebook) -> None:
    """os._exit in a cell: its code is in the message, without farcell's own frames."""
    cell = notebook.run("%%remote\nimport os\nos._exit(3)")
    assert "exited with code 3" in only_error(cell, "KernelDied")
    assert "outcome.py" not in cell.errors[0].traceback
    assert notebook.run("%%remote\n5").check().result == "5"


def test_a_killed_host_is_reported_and_replaced(notebook: Notebook) -> None:
    """The host dies under a running cell: said within seconds, the next cell starts another, nothing is left behind."""
    running = notebook.start("%%remote\nimport time\nprint('go', flush=True)\ntime.sleep(60)")
    running.until("go")
    os.kill(_host_pid(notebook), signal.SIGKILL)
    text = only_error(running.finish(20), "HostDied")
    assert "'local' is gone" in text and "Run the cell again" in text
    assert notebook.run("%%remote\n6").check().result == "6"


@pytest.mark.parametrize("target", ["local", "local-attach"])
def test_cells_run_where_a_stream_cannot_be_lent(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, target: str
) -> None:
    """Without epoll (macOS) the connection thread reads for the one that waits: output, results and Ctrl-C as ever."""
    monkeypatch.setenv("FARCELL_WITHOUT", "epoll")
    notebook: Notebook = request.getfixturevalue("notebook")
    assert notebook.run(f"%%remote {target}\nprint('here')\nlist(range(3))").check().result == "[0, 1, 2]"
    running = notebook.start(f"%%remote {target}\nimport time\nprint('go', flush=True)\ntime.sleep(60)")
    running.until("go")
    notebook.interrupt()
    only_error(running.finish(20), "KeyboardInterrupt")


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_kernel_that_may_not_read_the_notebooks_memory(
    where: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A hardened system forbids it, which shows at the first large value: it goes as a memory file, the cell runs once."""
    folder = sandbox.jupyter_config / "farcell"
    folder.mkdir()
    env = 'env = { FARCELL_WITHOUT = "peermemory" }' if where == "there" else ""
    (folder / "targets.toml").write_text(f'[targets.hardened]\nbackend = "local"\n{env}\n')
    if where == "here":
        monkeypatch.setenv("FARCELL_WITHOUT", "peermemory")
    notebook: Notebook = request.getfixturevalue("notebook")
    notebook.run("import numpy as np\nlarge = np.arange(2**20)\nruns = []").check()
    cell = notebook.run("%%remote hardened\nruns.append(1)\nlarge += 1\nprint('once')\nint(large[-1])").check()
    assert (cell.stdout, cell.result) == ("once\n", str(2**20))
    notebook.run("large += 1").check()
    assert notebook.run("%%remote hardened\nint(large[-1]), runs").check().result == f"({2**20 + 1}, [1])"
    assert notebook.value("(int(large[0]), runs)") == (2, [1])


def test_output_is_whole_when_the_bridge_dies(notebook: Notebook) -> None:
    """attach is killed several times in mid-output: every line comes, in order, once."""
    code = "%%remote local-attach\nimport time\nfor n in range(400):\n    print(n, flush=True)\n    time.sleep(0.005)"
    running = notebook.start(code)
    for line in (20, 120, 220):
        running.until(f"\n{line}\n")
        for bridge in _bridges(notebook):
            bridge.kill()
    cell = running.finish(40).check()
    assert cell.stdout == "".join(f"{n}\n" for n in range(400))


def _bridges(notebook: Notebook) -> list[psutil.Process]:
    found = [p for p in psutil.Process(notebook.pid).children(recursive=True) if "attach" in p.cmdline()]
    assert found
    return found


def test_a_bridge_that_dies_between_cells_is_replaced(notebook: Notebook) -> None:
    """The next cell runs as if nothing had happened, in the same kernel."""
    notebook.run("%%remote local-attach\nimport os\nfirst = os.getpid()").check()
    for bridge in _bridges(notebook):
        bridge.kill()
    assert notebook.run("%%remote local-attach\nos = __import__('os')\nos.getpid() == first").check().result == "True"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("time.sleep(60)", "KeyboardInterrupt"),
        ("while True: pass", "KeyboardInterrupt"),
        # what a local ipykernel makes of it; the same signal a moment earlier, in the print, is a KeyboardInterrupt
        ("await asyncio.sleep(60)", "CancelledError|KeyboardInterrupt"),
    ],
    ids=["sleep", "loop", "await"],
)
def test_an_interrupt_is_felt_at_once(notebook: Notebook, body: str, error: str) -> None:
    """Sleeping, busy or awaiting: the cell ends at once, and the next one runs."""
    notebook.run("%%remote\n1").check()
    running = notebook.start(f"%%remote\nimport time, asyncio\nprint('go', flush=True)\n{body}")
    running.until("go")
    notebook.interrupt()
    cell = running.finish(20)
    only_error(cell, *error.split("|"))
    assert notebook.run("%%remote\n7").check().result == "7"


def test_an_interrupt_in_input_stops_the_cell(notebook: Notebook) -> None:
    """Ctrl-C at a prompt is a KeyboardInterrupt in the remote cell."""
    running = notebook.start("%%remote\nname = input('who? ')")
    notebook.pump(lambda: bool(running.prompts) or running.is_over, 30, running)
    notebook.interrupt()
    only_error(running.finish(20), "KeyboardInterrupt")
    assert notebook.run("%%remote\n8").check().result == "8"


def test_a_second_interrupt_asks_and_kills(notebook: Notebook) -> None:
    """A cell that ignores KeyboardInterrupt: the second Ctrl-C asks; yes kills the kernel, and the notebook goes on."""
    running = notebook.start(_stubborn())
    running.until("go")
    notebook.interrupt()
    running.until("ignored")
    time.sleep(0.6)  # two presses within half a second are one
    notebook.interrupt()
    notebook.pump(lambda: bool(running.prompts) or running.is_over, 20, running)
    assert "kill it?" in running.prompts[0]["prompt"]
    running.answer("y")
    only_error(running.finish(20), "KeyboardInterrupt")
    assert notebook.run("%%remote\n9").check().result == "9"


def _stubborn() -> str:
    return """%%remote
import time
end = time.monotonic() + 20
word = "go"
while time.monotonic() < end:
    try:
        print(word, flush=True)
        time.sleep(20)
    except KeyboardInterrupt:
        word = "ignored"
"""


def test_without_stdin_a_second_interrupt_says_what_to_do(notebook: Notebook) -> None:
    """Where nobody can be asked the message says how to end it; a time-out ends it without anybody."""
    running = notebook.start(_stubborn().replace("%%remote", "%%remote --timeout 3"), allow_stdin=False)
    running.until("go")
    notebook.interrupt()
    running.until("ignored")
    time.sleep(0.6)  # two presses within half a second are one
    notebook.interrupt()
    running.until("nobody can be asked")
    os.kill(_kernel_pid(notebook), signal.SIGKILL)
    only_error(running.finish(20), "KernelDied")


def test_a_run_that_ignores_its_time_out_is_killed(notebook: Notebook) -> None:
    """--timeout ends a cell that catches KeyboardInterrupt too."""
    cell = notebook.run(_stubborn().replace("%%remote", "%%remote --timeout 0.5"), timeout=40)
    text = only_error(cell, "RunTimeout")
    assert "0.5 s" in text and "killed" in text
    assert notebook.run("%%remote\n10").check().result == "10"


def test_a_flood_of_interrupts_never_breaks_the_stream(notebook: Notebook) -> None:
    """Ctrl-C again and again into a cell that prints: the next cell's output is exact each time."""
    notebook.run("%%remote\n1").check()
    for n in range(6):
        running = notebook.start("%%remote\nwhile True:\n    print('x' * 50, flush=True)")
        running.until("x")
        time.sleep(0.01 * n)
        notebook.interrupt()
        notebook.interrupt()
        running.finish(20)
        assert notebook.run(f"%%remote\nprint('exact {n}')").check().stdout == f"exact {n}\n"


def test_a_huge_value_is_asked_about(notebook: Notebook) -> None:
    """More than the limit is sent only after a yes; where nobody can be asked the message names --yes."""
    folder = notebook.sandbox.jupyter_config / "farcell"
    folder.mkdir()
    (folder / "targets.toml").write_text('[targets.small]\nbackend = "local"\nconfirm_bytes = 1000000\n')
    notebook.run("import numpy as np\nhuge = np.ones(1_000_000)").check()
    refused = notebook.run("%%remote small\nhuge.sum()", allow_stdin=False)
    text = only_error(refused, "Refused")
    assert "8.0 MB" in text and "--yes" in text and "Nothing was run" in text
    declined = notebook.run("%%remote small\nhuge.sum()", answers=["n"])
    assert "not sent" in only_error(declined, "Refused")
    assert notebook.run("%%remote small\nhuge.sum()", answers=["y"]).check().result == "np.float64(1000000.0)"
    assert (
        notebook.run("%%remote small --yes\nhuge += 1\nhuge.sum()", allow_stdin=False).check().result == "np.float64(2000000.0)"
    )


def test_a_host_that_cannot_start_says_why(notebook: Notebook) -> None:
    """A target whose Python is not there: the target, what was said, and where the log is."""
    folder = notebook.sandbox.jupyter_config / "farcell"
    folder.mkdir()
    (folder / "targets.toml").write_text('[targets.broken]\nbackend = "local"\npython = "/nowhere/python"\n')
    text = only_error(notebook.run("%%remote broken\n1"), "TargetUnavailable")
    assert "'broken'" in text and "/nowhere/python" in text
    assert notebook.run("%%remote\n2").check().result == "2"


def test_an_explicit_shutdown_ends_the_session(notebook: Notebook) -> None:
    """Closing the notebook ends host and kernel, and leaves no file."""
    notebook.run("%%remote\n1").check()
    host = psutil.Process(_host_pid(notebook))
    notebook.close()
    host.wait(10)


def test_a_restart_leaves_the_run_alone(notebook: Notebook) -> None:
    """The notebook kernel restarts while a cell runs: the run goes on, and the next remote cell says how to end it."""
    running = notebook.start("%%remote\nimport time\nprint('go', flush=True)\ntime.sleep(60)")
    running.until("go")
    before = _host_pid(notebook)
    notebook.restart(now=True)
    notebook.run("%load_ext farcell").check()
    cell = notebook.run("%%remote\n3").check()
    assert cell.result == "3"
    assert psutil.pid_exists(before)
    assert "goes on" in cell.stderr and "%remote attach" in cell.stderr
    command = re.search(r"%remote sessions --all --end \S+ --yes", cell.stderr)
    assert command is not None
    notebook.run(command[0]).check()
    psutil.Process(before).wait(30) if psutil.pid_exists(before) else None


def test_an_idle_session_of_an_earlier_kernel_is_ended(notebook: Notebook) -> None:
    """After a restart nothing can reach what the earlier kernel's session held: it gives way to the new one, without a word."""
    notebook.run("%%remote\nx = 1").check()
    before = psutil.Process(_host_pid(notebook))
    wait_until_taken(notebook.sandbox.runtime)
    notebook.restart(now=True)
    notebook.run("%load_ext farcell").check()
    assert notebook.run("%%remote\n4").check().stderr == ""
    before.wait(10)


def test_runs_of_threads_wait_their_turn(notebook: Notebook) -> None:
    """The API is thread-safe: runs on one session queue, and the one that waits says so."""
    code = """
import farcell, threading
far = farcell.connect("local")
order = []
def work(n):
    far.run(f"import time; time.sleep(0.2); order.append({n})")
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(order))
"""
    cell = notebook.run("%%remote\n1").check() and notebook.run(code).check()
    assert "[0, 1, 2]" in cell.stdout
    assert "Waiting for the run before this one" in cell.stderr


def test_a_plain_script_runs_cells_too(sandbox) -> None:  # type: ignore[no-untyped-def]
    """Outside any notebook: output on stdout, names in __main__, and the session ends with the script."""
    script = """
import farcell
numbers = [1, 2]
far = farcell.connect("local")
far.run("numbers.append(3)\\nprint('there', len(numbers))\\nnumbers")
print("here", numbers)
try:
    far.run("1/0")
except ZeroDivisionError as error:
    print("caught", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=sandbox.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "there 3\n[1, 2, 3]\nhere [1, 2, 3]\ncaught division by zero\n", done.stderr
