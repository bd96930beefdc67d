"""The host's GPUs as NVIDIA's library tells them: nvidia-ml-py's own calls, answered by a stand-in for the library below it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from farcell_host import bundle
from services.nvml import DRIVER_NOT_LOADED, GPU_IS_LOST, LIBRARY, SOURCE, StubNvml

# The loader reads LD_LIBRARY_PATH when a process begins, so that another one looks at the GPUs: a line of Python each time.
LOOKING = """
import json, os, subprocess, sys
from pathlib import Path
import pynvml
from farcell_host.gpus import Gpus, Peak
from farcell_host.gpus.nvidia import Nvidia
from farcell_host.gpus.processes import ProcessTree

gpus, peak, children = Gpus(), Peak(), []

def start(code, **options):
    "A child that says its PID, or another's, and lives until its input ends."
    code = "import os, sys\\n" + code + "\\nprint(os.getpid(), flush=True)\\nsys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    children.append(child)
    return int(child.stdout.readline())

for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
for child in children:
    child.communicate()
"""
GPU_OPEN = "kept = open('/dev/nvidia0')"
PLAIN = "pass"
FORKED = "if os.fork():\n    sys.stdin.read()\n    os._exit(0)"
ORPHANED = "if os.fork():\n    os._exit(0)"
A_SESSION_OF_ITS_OWN = "if os.fork():\n    os._exit(0)\nos.setsid()\nif os.fork():\n    os._exit(0)"
FIRST_NAMESPACE = "pid:[4026531836]"
IN_FIRST_NAMESPACE = os.path.exists("/proc/self/ns/pid") and os.readlink("/proc/self/ns/pid") == FIRST_NAMESPACE
first_namespace = pytest.mark.skipif(
    not IN_FIRST_NAMESPACE, reason="optional: in a container a PID alone says nothing: run on the machine itself"
)
NO_PERMISSION = 4  # NVML_ERROR_NO_PERMISSION
GIB = 1 << 30


class Looking:
    """A process that looks at the GPUs, as a kernel host does."""

    def __init__(self, environment: dict[str, str], prefix: list[str] | None = None) -> None:
        command = [*(prefix or []), sys.executable, "-c", LOOKING]
        self._process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, expression: str) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{expression}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def read(self) -> dict[str, Any]:
        return self.ask("gpus.read().as_fields()")

    def device(self, index: int) -> dict[str, Any]:
        return self.read()["devices"][index]

    def nvidia(self) -> dict[str, Any]:
        """What its library said."""
        return next(library for library in self.read()["libraries"] if library["vendor"] == "nvidia")

    def processes(self, index: int = 0) -> list[list[Any]]:
        return [[process["pid"], process["memory_bytes"], process["owner"]] for process in self.device(index)["processes"]]

    def is_initialised(self) -> bool:
        """Whether the library is: the stand-in's answer."""
        return self.ask("pynvml._nvmlGetFunctionPointer('nvmlDeviceGetCount_v2')(pynvml.byref(pynvml.c_uint()))") == 0

    def start(self, code: str, **options: Any) -> int:
        """The PID of a process that it started, as it counts."""
        return self.ask(f"start({code!r}, **{options!r})")

    def close(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture
def looking_with() -> Iterator[Callable[..., Looking]]:
    """Starts one in an environment."""
    started: list[Looking] = []

    def start(environment: dict[str, str], prefix: list[str] | None = None) -> Looking:
        started.append(Looking(environment, prefix))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def looking(nvml: StubNvml, looking_with: Callable[..., Looking]) -> Looking:
    return looking_with(nvml.environment())


def built(nvml: StubNvml, folder: Path, more: str = "", **renamed: str) -> dict[str, str]:
    """The environment for a library in which functions have other names, and more are written in C: another driver's."""
    folder.mkdir()
    (folder / "more.c").write_text(more)
    defines = [f"-D{old}={new}" for old, new in renamed.items()]
    compiler = [os.environ.get("CC", "cc"), "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-shared", *defines]
    command = [*compiler, "-o", str(folder / LIBRARY), str(SOURCE), str(folder / "more.c")]
    subprocess.run(command, check=True, timeout=60)
    return nvml.environment() | {"LD_LIBRARY_PATH": str(folder)}


def test_a_device_has_all_its_values(looking: Looking) -> None:
    """Bytes, watts, degrees and per cent; two boards of one kind have their own names."""
    reading = looking.read()
    assert reading["state"] == "devices"
    assert reading["libraries"][0] == {"vendor": "nvidia", "state": "devices", "driver": "555.42.06", "text": None}
    assert [device["uuid"] for device in reading["devices"]] == [f"GPU-fa4e0000-0000-4000-8000-{n:012d}" for n in (0, 1)]
    assert reading["devices"][1] == {
        "vendor": "nvidia",
        "index": 1,
        "uuid": "GPU-fa4e0000-0000-4000-8000-000000000001",
        "name": "NVIDIA H100 80GB HBM3",
        "utilisation_percent": 0,
        "memory_used_bytes": GIB,
        "memory_total_bytes": 80 * GIB,
        "temperature_c": 35,
        "power_w": 70.0,
        "power_limit_w": 700.0,
        "processes": [],
        "error": None,
        "faults": {},
    }


def test_each_reading_is_new(nvml: StubNvml, looking: Looking) -> None:
    """Values change between two readings; the library is initialised by the first alone."""
    looking.read()
    nvml.set(init_error=DRIVER_NOT_LOADED)
    nvml.set(0, util=97, mem_used=70 * GIB, temp=71, power=650_500)
    nvml.set(1, util=3)
    first, second = looking.read()["devices"]
    assert (first["utilisation_percent"], second["utilisation_percent"]) == (97, 3)
    assert (first["memory_used_bytes"], first["temperature_c"], first["power_w"]) == (70 * GIB, 71, 650.5)


def test_a_lost_gpu_hides_no_other(nvml: StubNvml, looking: Looking) -> None:
    """It keeps its name, says what is wrong in NVML's words, and is whole again when it comes back."""
    whole = looking.device(1)
    nvml.set(1, error=GPU_IS_LOST)
    first, second = looking.read()["devices"]
    assert (first["error"], first["utilisation_percent"]) == (None, 0)
    assert (second["error"], second["uuid"], second["name"]) == ("GPU is lost", whole["uuid"], whole["name"])
    assert (second["utilisation_percent"], second["processes"]) == (None, None)
    nvml.clear()
    assert looking.device(1) == whole


def test_a_gpu_is_lost_in_the_middle(nvml: StubNvml, looking_with: Callable[..., Looking], tmp_path: Path) -> None:
    """The library may still know its name by heart: the device is broken all the same, not its values one by one."""
    by_heart = """
    #undef nvmlDeviceGetUUID
    __attribute__((visibility("default"))) int nvmlDeviceGetUUID(void *device, char *out, unsigned size)
    {
        return device && __builtin_snprintf(out, size, "GPU-known") < (int)size ? 0 : 7;
    }
    """
    looking = looking_with(built(nvml, tmp_path / "other", by_heart, nvmlDeviceGetUUID="nvmlUnused"))
    nvml.set(1, error=GPU_IS_LOST)
    first, second = looking.read()["devices"]
    assert (first["uuid"], first["error"], first["power_w"]) == ("GPU-known", None, 70.0)
    assert (second["error"], second["faults"]) == ("GPU is lost", {})


def test_all_gpus_lost_are_all_errors(nvml: StubNvml, looking: Looking) -> None:
    """Nobody knows then what runs on them; the next reading starts the library anew."""
    looking.read()
    assert looking.is_initialised()
    nvml.set(error=GPU_IS_LOST)
    assert [device["error"] for device in looking.read()["devices"]] == ["GPU is lost"] * 2
    assert not looking.is_initialised()
    assert looking.ask("gpus.has_own_process()") == "unknown"
    nvml.clear()
    assert [device["error"] for device in looking.read()["devices"]] == [None] * 2


def test_a_driver_that_is_not_loaded_is_an_error(nvml: StubNvml, looking: Looking) -> None:
    """Until it is loaded."""
    nvml.set(init_error=DRIVER_NOT_LOADED)
    reading = looking.read()
    assert (reading["state"], reading["devices"], reading["own_memory_bytes"]) == ("error", [], None)
    assert looking.nvidia() == {"vendor": "nvidia", "state": "error", "driver": None, "text": "Driver Not Loaded"}
    assert looking.ask("gpus.has_own_process()") == "unknown"
    nvml.clear()
    assert looking.nvidia()["state"] == "devices"


def test_a_reloaded_driver_is_read_at_once(nvml: StubNvml, looking: Looking) -> None:
    """The library knows nothing of its first initialisation then; the same reading has the devices."""
    looking.read()
    looking.ask("pynvml.nvmlShutdown()")
    assert not looking.is_initialised()
    assert [device["error"] for device in looking.read()["devices"]] == [None] * 2


def test_a_driver_that_goes_away_is_an_error(nvml: StubNvml, looking: Looking) -> None:
    """Unloaded between two readings, and loaded again."""
    looking.read()
    nvml.set(error=DRIVER_NOT_LOADED)
    assert (looking.nvidia()["state"], looking.nvidia()["text"]) == ("error", "Driver Not Loaded")
    nvml.clear()
    assert not looking.is_initialised()
    assert looking.nvidia()["state"] == "devices"
    looking.ask("gpus.close()")
    assert not looking.is_initialised()


def test_another_jobs_gpus_are_left_out(nvml: StubNvml, looking: Looking) -> None:
    """NVML counts them, and refuses what is asked of them; the others keep their numbers."""
    nvml.set(0, error=NO_PERMISSION)
    reading = looking.read()
    assert [device["index"] for device in reading["devices"]] == [1]
    assert looking.ask("gpus.has_own_process()") == "no"
    nvml.set(1, error=NO_PERMISSION)
    assert (looking.nvidia()["state"], looking.nvidia()["text"]) == ("none", "No device is open to this user or job")


def test_what_an_old_driver_lacks_is_said(nvml: StubNvml, looking_with: Callable[..., Looking], tmp_path: Path) -> None:
    """One missing function costs one value."""
    old = built(nvml, tmp_path / "old", nvmlDeviceGetPowerUsage="nvmlAbsent")
    device = looking_with(old).device(0)
    assert (device["power_w"], device["faults"]) == (None, {"power_w": "Function Not Found"})
    assert (device["power_limit_w"], device["temperature_c"], device["error"]) == (700.0, 35, None)


def test_processes_are_listed_by_old_drivers_too(nvml: StubNvml, looking_with: Callable[..., Looking], tmp_path: Path) -> None:
    """Before 510 the function had another number."""
    name = "nvmlDeviceGetComputeRunningProcesses"
    looking = looking_with(built(nvml, tmp_path / "old", **{f"{name}_v3": f"{name}_v2"}))
    nvml.set(0, procs=f"{os.getpid()}:{GIB}")
    assert [process[:2] for process in looking.processes()] == [[os.getpid(), GIB]]


def test_without_any_list_of_processes_nobody_knows(nvml: StubNvml, looking_with: Callable[..., Looking], tmp_path: Path) -> None:
    """It is not taken for an empty one."""
    looking = looking_with(built(nvml, tmp_path / "old", nvmlDeviceGetComputeRunningProcesses_v3="nvmlAbsent"))
    device = looking.device(0)
    assert (device["processes"], device["faults"]) == (None, {"processes": "Function Not Found"})
    assert looking.ask("gpus.has_own_process()") == "unknown"
    assert looking.read()["own_memory_bytes"] is None


def test_no_library_is_none(nvml: StubNvml, looking_with: Callable[..., Looking], tmp_path: Path) -> None:
    """Unless the driver is there: a container that got the devices without the library."""
    (tmp_path / LIBRARY).touch()  # before a real one in the loader's search, and no library
    looking = looking_with({"LD_LIBRARY_PATH": str(tmp_path)})
    ask = "Nvidia(Path({!r})).read(ProcessTree(os.getpid()))[0].__dict__"
    none = looking.ask(ask.format(str(tmp_path / "nowhere")))
    assert (none["state"], none["text"]) == ("none", "NVML Shared Library Not Found")
    error = looking.ask(ask.format("/dev/null"))
    assert (error["state"], error["text"]) == ("error", "NVIDIA's driver is here, but NVML Shared Library Not Found")


def test_no_device_is_none(nvml: StubNvml, looking: Looking) -> None:
    """A driver without a GPU."""
    nvml.set(count=0)
    assert looking.nvidia() == {"vendor": "nvidia", "state": "none", "driver": "555.42.06", "text": "The driver shows no device"}
    assert looking.ask("gpus.has_own_process()") == "no"


@first_namespace
@pytest.mark.parametrize("code", [PLAIN, FORKED, ORPHANED], ids=["child", "grandchild", "orphan"])
def test_what_the_host_started_is_its_own(nvml: StubNvml, looking: Looking, code: str) -> None:
    """Also what lost its parents, as long as it has not left their session."""
    pid = looking.start(code, start_new_session=True)
    nvml.set(1, procs=f"{pid}:{3 * GIB}")
    assert looking.processes(1) == [[pid, 3 * GIB, "session"]]
    assert looking.ask("gpus.has_own_process()") == "yes"
    assert looking.ask(f"gpus.has_own_process(apart_from=[{pid}])") == "no"
    assert looking.read()["own_memory_bytes"] == 3 * GIB


@first_namespace
def test_a_daemon_is_known_by_its_environment(nvml: StubNvml, looking: Looking) -> None:
    """It has left parents and session; what the kernel's environment says of the host stays with it."""
    kernel = looking.ask("dict(os.environ, JPY_PARENT_PID=str(os.getpid()))")
    pid, stranger = looking.start(A_SESSION_OF_ITS_OWN, env=kernel), looking.start(A_SESSION_OF_ITS_OWN)
    nvml.set(0, procs=f"{pid}:{GIB},{stranger}:{GIB}")
    assert looking.processes() == [[pid, GIB, "session"], [stranger, GIB, "user"]]


@first_namespace
def test_other_processes_are_told_apart(nvml: StubNvml, looking: Looking) -> None:
    """This test's own is the same user's; one that has ended is nobody's; another root has other descendants."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    nvml.set(0, procs=f"{os.getpid()}:{GIB},{ended.pid}:{GIB}")
    assert looking.processes() == [[os.getpid(), GIB, "user"], [ended.pid, GIB, "other"]]
    assert looking.ask("gpus.has_own_process()") == "no"
    assert looking.ask(f"gpus.has_own_process({os.getpid()})") == "yes"
    assert looking.read()["own_memory_bytes"] == 0


@first_namespace
@pytest.mark.skipif(os.geteuid() != 0, reason="optional: only root starts processes of another user")
def test_another_user_is_another(nvml: StubNvml, looking: Looking) -> None:
    with subprocess.Popen(["sleep", "60"], user=65534) as other:
        nvml.set(0, procs=f"{other.pid}:{GIB}")
        try:
            assert looking.processes() == [[other.pid, GIB, "other"]]
        finally:
            other.kill()


@first_namespace
def test_a_run_has_its_peaks(nvml: StubNvml, looking: Looking) -> None:
    """The most at one time over all devices, which is not the sum of each device's most."""
    pid = looking.start(PLAIN)
    for util, used, own in ((0, 1, (0, 0)), (90, 60, (40, 1)), (60, 50, (2, 30))):
        nvml.set(0, util=util, mem_used=used * GIB, procs=f"{pid}:{own[0] * GIB},{os.getpid()}:{5 * GIB}")
        nvml.set(1, procs=f"{pid}:{own[1] * GIB}")
        looking.ask("peak.add(gpus.read())")
    peak = looking.ask("peak.as_fields()")
    assert (peak["readings"], peak["memory_bytes"]) == (3, 41 * GIB)
    first, second = peak["devices"]
    assert (first["utilisation_mean_percent"], first["utilisation_peak_percent"]) == (50.0, 90)
    assert (first["own_memory_bytes"], first["memory_used_bytes"]) == (40 * GIB, 60 * GIB)
    assert (second["own_memory_bytes"], second["utilisation_peak_percent"]) == (30 * GIB, 0)


def contained(*options: str) -> list[str]:
    """What puts a process into a PID namespace of its own, with a /dev/nvidia0 that is only a file."""
    setting_up = 'mount -t tmpfs none /dev && : > /dev/nvidia0 && exec "$@"'
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *options, "sh", "-c", setting_up, "sh"]


@pytest.fixture
def contain() -> Callable[..., list[str]]:
    """`contained`, where this machine allows it."""
    try:
        tried = subprocess.run([*contained("--mount-proc"), "true"], capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        pytest.skip(f"optional: PID namespaces need unshare: {error}")
    if tried.returncode != 0:
        pytest.skip(f"optional: PID namespaces need root (CAP_SYS_ADMIN): {tried.stderr.strip()}")
    return contained


def test_in_a_container_only_who_has_a_gpu_open_is_known(
    nvml: StubNvml, looking_with: Callable[..., Looking], contain: Callable[..., list[str]]
) -> None:
    """The driver's numbers may be the machine's: one that fits by chance, or fits nobody, is not taken for ours nor for none."""
    looking = looking_with(nvml.environment(), contain("--mount-proc"))
    using, idle = looking.start(GPU_OPEN), looking.start(PLAIN)
    assert using < 100  # numbers of a namespace of its own
    nvml.set(0, procs=f"{using}:{GIB},{idle}:{GIB},999999:{GIB}")
    assert looking.processes() == [[using, GIB, "session"], [idle, GIB, "unknown"], [999999, GIB, "unknown"]]
    assert looking.ask("gpus.has_own_process()") == "yes"
    nvml.set(0, procs=f"999999:{GIB}")
    assert looking.ask("gpus.has_own_process()") == "unknown"
    assert looking.read()["own_memory_bytes"] is None
    nvml.set(0, procs="")
    assert looking.ask("gpus.has_own_process()") == "no"


@pytest.mark.parametrize("counts", ["as the machine", "as the container"])
def test_the_machines_proc_maps_its_numbers(
    nvml: StubNvml, looking_with: Callable[..., Looking], contain: Callable[..., list[str]], counts: str
) -> None:
    """A container that sees the machine's /proc: NSpid there has both numbers, and the container's own is shown."""
    looking = looking_with(nvml.environment(), contain())
    using, idle = looking.start(GPU_OPEN), looking.start(PLAIN)
    outer = {number: pid for pid, number in outside_numbers().items() if number in (using, idle)}
    said = outer if counts == "as the machine" else {using: using, idle: idle}
    nvml.set(0, procs=f"{said[using]}:{GIB},{said[idle]}:{GIB}")
    assert looking.processes() == [[using, GIB, "session"], [said[idle], GIB, "unknown"]]


def outside_numbers() -> dict[int, int]:
    """The number in its own namespace of each process that descends from this one, by its number here."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        numbers = next(line.split()[1:] for line in lines if line.startswith("NSpid"))
        if len(numbers) > 1:
            found[process.pid] = int(numbers[-1])
    return found


def test_the_shipped_host_reads_without_any_package(tmp_path: Path) -> None:
    """A target's Python may have neither library: the zipapp says so and works."""
    bundle.write_zipapp(tmp_path / "host.pyz")
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); from farcell_host.gpus import Gpus"
    code += "; print(json.dumps(Gpus().read().as_fields()))"
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path / "host.pyz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    reading = json.loads(done.stdout)
    nvidia, amd = reading["libraries"]
    assert "nvidia-ml-py is not installed in this Python: pip install nvidia-ml-py" in nvidia["text"]
    assert "amdsmi is not installed in this Python" in amd["text"]
    has_driver = {"nvidia": os.path.exists("/dev/nvidiactl"), "amd": os.path.exists("/dev/kfd")}
    assert [nvidia["state"], amd["state"]] == ["error" if has_driver[each] else "none" for each in ("nvidia", "amd")]
    assert done.stderr == ""
