"""GPUs as a kernel host looks at them: while a run goes on, between runs, and when somebody asks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hostclient import Driver, LaunchedHost, launched, wait_until
from notebooks import Notebook
from sandbox import Sandbox
from services.nvml import DRIVER_NOT_LOADED, GPU_IS_LOST, StubNvml

pytestmark = pytest.mark.timeout(120)
GIB = 1 << 30
IN_FIRST_NAMESPACE = os.path.exists("/proc/self/ns/pid") and os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
first_namespace = pytest.mark.skipif(
    not IN_FIRST_NAMESPACE, reason="optional: in a container a PID alone says nothing: run on the machine itself"
)
WAIT_FOR_A_FILE = "import os, time\nprint('begun', os.getpid(), flush=True)\nwhile not os.path.exists({!r}): time.sleep(0.05)"
A_PROGRAM = "import subprocess\nprogram = subprocess.Popen(['sleep', '600'])\nprint('begun', program.pid)"


@pytest.fixture
def host(sandbox: Sandbox, nvml: StubNvml) -> Iterator[LaunchedHost]:
    """On a machine with two GPUs."""
    with launched(sandbox.runtime, env={**os.environ, **nvml.environment()}) as host:
        yield host


def printed(driver: Driver) -> str:
    return "".join(m.content["text"] for m in driver.messages if m.msg_type == "stream")


def begun(driver: Driver) -> int:
    """The PID that a cell has said, once it has."""
    driver.wait(lambda: "begun" in printed(driver) and printed(driver).endswith("\n"))
    return int(printed(driver).split("begun ")[1].split()[0])


def going(driver: Driver) -> dict[str, Any]:
    """What has been measured of the run that goes on."""
    return next(run for run in driver.ask("usage").fields["runs"] if run["state"] == "running")


def test_anybody_may_ask_what_the_gpus_do(host: LaunchedHost, nvml: StubNvml) -> None:
    """An observer too, while no run goes on."""
    nvml.set(1, util=42, mem_used=3 * GIB)
    with host.driver(role="observer") as observer:
        answer = observer.ask("gpus")
        assert answer.ok and answer.fields["state"] == "devices"
        assert [device["utilisation_percent"] for device in answer.fields["devices"]] == [0, 42]
        assert answer.fields["kernel_pid"] == host.info["kernel_pid"]


@pytest.mark.parametrize(
    ("values", "state", "text"),
    [({"count": 0}, "none", "The driver shows no device"), ({"init_error": DRIVER_NOT_LOADED}, "error", "Driver Not Loaded")],
    ids=["none", "error"],
)
def test_no_gpu_and_no_answer_are_told_apart(
    host: LaunchedHost, nvml: StubNvml, values: dict[str, Any], state: str, text: str
) -> None:
    """None is said as none, an error with the library's words; a GPU that is there later is seen by who asks then."""
    nvml.set(**values)
    with host.driver() as driver:
        answer = driver.ask("gpus").fields
        assert (answer["state"], answer["devices"], answer["libraries"][0]["text"]) == (state, [], text)
        nvml.clear()
        assert wait_until(lambda: driver.ask("gpus").fields["state"] == "devices")


@first_namespace
def test_a_run_has_its_peaks(host: LaunchedHost, nvml: StubNvml, sandbox: Sandbox) -> None:
    """The most memory of the session's own processes, and how busy the device was that they were on."""
    end = sandbox.folder / "end"
    with host.driver() as driver:
        run = driver.start(WAIT_FOR_A_FILE.format(str(end)))
        pid = begun(driver)
        assert pid == host.info["kernel_pid"]
        nvml.set(0, util=90, mem_used=60 * GIB, procs=f"{pid}:{40 * GIB},{os.getpid()}:{20 * GIB}")
        nvml.set(1, util=100)
        assert wait_until(lambda: going(driver).get("peak_gpu_bytes") == 40 * GIB)
        nvml.set(0, util=10, mem_used=30 * GIB, procs=f"{pid}:{10 * GIB}")
        assert wait_until(lambda: going(driver)["gpu_utilisation"] < 0.9)
        end.touch()
        usage = driver.finish(run).check().reply["usage"]
        gpus = usage["gpus"]
        assert (gpus["memory_bytes"], gpus["utilisation_peak_percent"]) == (40 * GIB, 90)
        assert 10 <= gpus["utilisation_mean_percent"] < 90
        assert gpus["devices"][1]["utilisation_peak_percent"] == 100  # somebody else's, told all the same
        assert usage["seconds"] > 0
        recorded = driver.ask("usage").fields
        assert recorded["session"]["gpus"] == 1
        (record,) = recorded["runs"]
        assert (record["id"], record["state"], record["peak_gpu_bytes"]) == (run, "ok", 40 * GIB)


def test_a_short_run_is_not_looked_at(host: LaunchedHost) -> None:
    """Its reply is the kernel's own, and nothing is said of GPUs."""
    with host.driver() as driver:
        assert list(driver.run("pass").check().reply["usage"]) == ["seconds"]


@first_namespace
def test_a_program_left_on_a_gpu_keeps_the_session(sandbox: Sandbox, nvml: StubNvml) -> None:
    """For as long as it is there, although no cell runs and no notebook is there; then the session ends as it was told."""
    with launched(sandbox.runtime, "--keep", "2", env={**os.environ, **nvml.environment()}) as host:
        with host.driver() as driver:
            driver.run(A_PROGRAM).check()
            nvml.set(1, procs=f"{begun(driver)}:{GIB}")
            # Seen once, it will be seen again, four times in a second.
            assert wait_until(lambda: driver.ask("gpus").fields["own_memory_bytes"] == GIB)
        assert not wait_until(lambda: not host.runtime.exists(), 5)
        nvml.clear()
        assert host.wait_gone()


@first_namespace
@pytest.mark.parametrize("utilisation", [0, 50])
def test_a_kernel_that_has_used_a_gpu_counts_while_it_computes(sandbox: Sandbox, nvml: StubNvml, utilisation: int) -> None:
    """It stays on the GPU until it ends, so that alone says nothing."""
    with launched(sandbox.runtime, "--keep", "2", env={**os.environ, **nvml.environment()}) as host:
        nvml.set(0, util=utilisation, procs=f"{host.info['kernel_pid']}:{GIB}")
        with host.driver() as driver:
            assert wait_until(lambda: driver.ask("gpus").fields["own_memory_bytes"] == GIB)
        assert wait_until(lambda: not host.runtime.exists(), 5 if utilisation else 20) == (utilisation == 0)
        nvml.clear()
        assert host.wait_gone()


@pytest.fixture
def gpu_notebook(sandbox: Sandbox, nvml: StubNvml, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook with farcell on a machine with two GPUs."""
    for name, value in nvml.environment().items():
        monkeypatch.setenv(name, value)
    with Notebook(sandbox) as notebook:
        notebook.run("%load_ext farcell").check()
        yield notebook


@first_namespace
def test_the_table_of_gpus(gpu_notebook: Notebook, nvml: StubNvml) -> None:
    """One line a device, with who is on it; a lost one says so. It starts no session."""
    cell = gpu_notebook.run("%remote gpus")
    assert "No session on 'local' has been started" in cell.stderr + (cell.error.value if cell.error else "")
    gpu_notebook.run("%%remote\nimport os\nkernel = os.getpid()").check()
    kernel = gpu_notebook.value("kernel")
    nvml.set(0, util=97, mem_used=42 * 10**9, temp=71, power=650_500, procs=f"{kernel}:{40 * 10**9},{os.getpid()}:5")
    nvml.set(1, error=GPU_IS_LOST)
    assert wait_until(lambda: "97 %" in gpu_notebook.run("%remote gpus").check().displays[0]["text/plain"])
    title, *_, first, second = gpu_notebook.run("%remote gpus").check().displays[0]["text/plain"].splitlines()
    assert title == "GPUs of 'local' (nvidia 555.42.06)"
    assert re.split(" {2,}", first.strip()) == [
        "0", "NVIDIA H100 80GB HBM3", "97 %", "42.0 GB", "85.9 GB", "71 C", "650 W", "700 W", "kernel 40.0 GB", "1 yours",
    ]  # fmt: skip
    assert "GPU is lost" in second


@pytest.mark.parametrize(
    ("values", "said"),
    [({"count": 0}, "GPUs of 'local': none. nvidia: The driver shows no device"), ({"init_error": 9}, "Driver Not Loaded")],
    ids=["none", "error"],
)
def test_the_table_tells_none_from_an_error(gpu_notebook: Notebook, nvml: StubNvml, values: dict[str, Any], said: str) -> None:
    """None is an empty table that says why, an error is an error."""
    nvml.set(**values)
    gpu_notebook.run("%%remote\n1").check()
    cell = gpu_notebook.run("%remote gpus")
    if "count" in values:
        assert cell.check().displays[0]["text/plain"].startswith(said)
    else:
        assert cell.error is not None and cell.error.name == "FarcellError"
        assert cell.error.value == f"The GPUs of 'local' cannot be read. nvidia: {said}."


@first_namespace
def test_the_log_has_each_runs_peaks(gpu_notebook: Notebook, nvml: StubNvml, sandbox: Sandbox) -> None:
    """Of runs that were looked at; without any the table has no such columns."""
    gpu_notebook.run("%%remote\nimport os\nkernel = os.getpid()").check()
    assert "GPU" not in gpu_notebook.run("%remote log").check().displays[0]["text/plain"]
    nvml.set(1, util=80, procs=f"{gpu_notebook.value('kernel')}:{12 * 10**9}")
    gpu_notebook.run("%%remote\nimport time\ntime.sleep(0.7)").check()
    head, _, _, last = gpu_notebook.run("%remote log").check().displays[0]["text/plain"].splitlines()[1:]
    assert re.search("GPU memory +GPU use", head)
    assert re.search(r"12\.0 GB +80 % \(up to 80 %\)", last)
