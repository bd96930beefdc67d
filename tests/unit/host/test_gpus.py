"""What readings of GPUs mean together, whose a process is where /proc says little, and AMD's library by its documentation."""

from __future__ import annotations

import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from farcell_host.gpus import Device, GpuProcess, Gpus, Library, Owner, Peak, Reading
from farcell_host.gpus.amd import Amd
from farcell_host.gpus.nvidia import Nvidia
from farcell_host.gpus.processes import ProcessTree

NOWHERE = Path("/nowhere")
DRIVER = Path("/dev/null")
NVIDIA = Library("nvidia", "devices", "555.42.06")
NONE = Library("amd", "none", text="none")
OWN = GpuProcess(7, 300, Owner.SESSION)
USERS = GpuProcess(8, 50, Owner.USER)
UNKNOWN = GpuProcess(9, 60, Owner.UNKNOWN)


def reading(*lists: tuple[GpuProcess, ...] | None, libraries: tuple[Library, ...] = (NVIDIA, NONE), **values: Any) -> Reading:
    return Reading(libraries, tuple(Device("nvidia", n, processes=each, **values) for n, each in enumerate(lists)))


@pytest.mark.parametrize(
    ("seen", "answer", "memory"),
    [
        (reading((OWN, USERS), (OWN,)), "yes", 600),
        (reading((USERS,), ()), "no", 0),
        (reading(), "no", 0),
        (reading((UNKNOWN,), ()), "unknown", None),
        (reading((OWN, UNKNOWN)), "yes", 300),
        (reading((OWN,), None), "yes", 300),
        (reading((USERS,), None), "unknown", None),
        (reading((GpuProcess(7, None, Owner.SESSION),)), "yes", None),
        (reading((GpuProcess(7, None, Owner.SESSION),), (OWN,)), "yes", 300),
        (reading(libraries=(Library("nvidia", "error", text="Driver Not Loaded"), NONE)), "unknown", None),
    ],
    ids=["own", "others", "none", "unknown", "own, unknown", "broken", "others, broken", "untold", "told on one", "error"],
)
def test_own_processes_and_their_memory(seen: Reading, answer: str, memory: int | None) -> None:
    """What is not known is neither none nor nothing; what is known counts beside it."""
    assert (seen.own_process(), seen.own_memory_bytes) == (answer, memory)


def test_the_kernel_itself_can_be_left_out() -> None:
    """It has its memory on the GPU until it ends, busy or not."""
    assert reading((OWN, USERS)).own_process(apart_from={7}) == "no"
    assert reading((OWN, UNKNOWN)).own_process(apart_from={7}) == "unknown"
    assert reading((OWN, GpuProcess(10, 1, Owner.SESSION))).own_process(apart_from={7}) == "yes"


@pytest.mark.parametrize(
    ("processes", "utilisation", "is_used"),
    [((), 90, False), ((USERS, UNKNOWN), 90, False), ((OWN,), 0, False), ((OWN,), None, False), ((OWN,), 1, True)],
    ids=["nobody", "others", "a kernel at rest", "a kernel, untold", "a kernel at work"],
)
def test_a_kernel_uses_a_gpu_while_it_computes(processes: tuple[GpuProcess, ...], utilisation: int | None, is_used: bool) -> None:
    """What it started is using one by being there; a second device that others keep busy says nothing."""
    busy = Device("nvidia", 1, processes=(USERS,), utilisation_percent=100)
    seen = reading(processes, utilisation_percent=utilisation)
    seen = Reading(seen.libraries, (*seen.devices, busy))
    assert seen.in_use_by((7,)) == is_used
    assert seen.in_use_by(()) == (OWN in processes)


def test_who_has_a_gpu_open_uses_it_where_the_driver_cannot_tell() -> None:
    """In a container: a program of the session's, or its kernel while a device computes."""
    at_rest = Reading((NVIDIA, NONE), (Device("nvidia", 0, processes=(UNKNOWN,), utilisation_percent=0),), users=frozenset({7}))
    at_work = Reading((NVIDIA, NONE), (Device("nvidia", 0, processes=(UNKNOWN,), utilisation_percent=9),), users=frozenset({7}))
    assert (at_rest.in_use_by((7,)), at_work.in_use_by((7,)), at_rest.in_use_by((8,))) == (False, True, True)


def test_a_reading_says_what_there_is() -> None:
    """Devices, none, or an error; one library's error hides not the other's devices."""
    error = Library("nvidia", "error", text="Driver Not Loaded")
    assert [each.state for each in (reading(()), reading(), reading(libraries=(error, NONE)))] == ["devices", "none", "error"]
    assert Reading((error, Library("amd", "devices")), (Device("amd", 0),)).state == "devices"


def test_fields_go_through_json() -> None:
    """Owners by their words."""
    fields = reading((OWN, UNKNOWN), None, utilisation_percent=5).as_fields()
    assert json.loads(json.dumps(fields)) == fields
    assert fields["devices"][0]["processes"][1] == {"pid": 9, "memory_bytes": 60, "owner": "unknown"}
    assert fields["devices"][1]["processes"] is None
    peak = Peak()
    peak.add(reading((OWN,)))
    assert json.loads(json.dumps(peak.as_fields())) == peak.as_fields()


def test_a_peak_counts_the_readings_that_had_a_value() -> None:
    """A device that is broken for a while has the mean of the rest, and keeps its most."""
    peak = Peak()
    for each in (reading((OWN,), utilisation_percent=80), reading(None), reading((), utilisation_percent=40)):
        peak.add(each)
    (device,) = peak.devices
    assert (device.utilisation_mean_percent, device.utilisation_peak_percent) == (60.0, 80)
    assert (device.own_memory_bytes, device.memory_used_bytes, peak.memory_bytes, peak.readings) == (300, None, 300, 3)


def test_a_peak_of_nothing_known_is_none() -> None:
    """No reading, no GPU, only unknown processes: no number, least of all 0."""
    peak = Peak()
    assert peak.as_fields() == {"readings": 0, "memory_bytes": None, "devices": []}
    peak.add(reading())
    assert (peak.memory_bytes, peak.devices) == (None, [])
    peak.add(reading((UNKNOWN,), memory_used_bytes=70))
    assert (peak.memory_bytes, peak.devices[0].own_memory_bytes, peak.devices[0].memory_used_bytes) == (None, None, 70)
    assert peak.devices[0].utilisation_mean_percent is None


def test_without_proc_nobody_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARCELL_WITHOUT", "proc")
    assert ProcessTree(os.getpid()).identify(os.getpid()) == (os.getpid(), Owner.UNKNOWN)


class Proc:
    """A /proc by hand, for what this machine's does not show: other namespaces, other users, older kernels."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace

    def process(
        self, name: str | int, pid: int, parent: int = 1, numbers: str = "", gpu: bool = False, uid: int | None = None
    ) -> None:
        place = self.folder / str(name)
        for part in ("ns", "fd"):
            (place / part).mkdir(parents=True)
        (place / "ns" / "pid").symlink_to(self.namespace)
        (place / "fd" / "3").symlink_to("/dev/nvidia0" if gpu else "/dev/null")
        lines = [f"Pid:\t{pid}", f"PPid:\t{parent}", f"Uid:\t{os.geteuid() if uid is None else uid}\t0\t0\t0"]
        if numbers:
            lines.append("NSpid:\t" + numbers.replace(" ", "\t"))
        (place / "status").write_text("\n".join(lines))


def test_a_kernel_without_namespaced_numbers_will_do(tmp_path: Path) -> None:
    """Before Linux 4.1 there is no NSpid, and in some sandboxes."""
    proc = Proc(tmp_path, "pid:[4026531836]")
    for name, pid, parent, uid in (
        ("self", 10, 1, None),
        (10, 10, 1, None),
        (11, 11, 10, None),
        (12, 12, 1, None),
        (13, 13, 1, 77),
    ):
        proc.process(name, pid, parent, uid=uid)
    tree = ProcessTree(10, tmp_path)
    owners = [tree.identify(pid)[1] for pid in (10, 11, 12, 13, 14)]
    assert owners == [Owner.SESSION, Owner.SESSION, Owner.USER, Owner.OTHER, Owner.OTHER]


def test_two_that_fit_are_unknown(tmp_path: Path) -> None:
    """In a container that sees the machine's processes: one by its number there, another by its number here, both on a GPU."""
    proc = Proc(tmp_path, "pid:[4026533000]")
    proc.process("self", 500, 1, "500 5")
    proc.process(500, 500, 1, "500 5")
    proc.process(501, 501, 500, "501 6", gpu=True)
    proc.process(6, 6, 1, "6", gpu=True)
    proc.process(502, 502, 500, "502 7", gpu=True)
    tree = ProcessTree(5, tmp_path)
    assert tree.identify(6) == (6, Owner.UNKNOWN)
    assert tree.identify(502) == tree.identify(7) == (7, Owner.SESSION)
    assert tree.gpu_users() == {6, 7}


def test_half_a_status_is_none(tmp_path: Path) -> None:
    """A process that ends while it is read."""
    proc = Proc(tmp_path, "pid:[4026531836]")
    proc.process("self", 10)
    proc.process(11, 11, 10)
    (tmp_path / "11" / "status").write_text("Name:\tpython\nPid:\t")
    assert ProcessTree(10, tmp_path).identify(11) == (11, Owner.OTHER)


def test_a_missing_package_is_none_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whether the driver is there to be asked."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    tree = ProcessTree(os.getpid())
    assert Nvidia(NOWHERE).read(tree)[0].state == "none"
    library, devices = Nvidia(DRIVER).read(tree)
    assert (library.state, devices) == ("error", [])
    assert library.text == ("NVIDIA's driver is here, but nvidia-ml-py is not installed in this Python: pip install nvidia-ml-py")


def test_a_package_that_cannot_be_imported_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it raises, and amdsmi prints: the host's standard output may be its stream to the notebook."""
    for name in ("pynvml", "amdsmi"):
        noise = "print('Unable to find libamd_smi.so')\n" if name == "amdsmi" else ""
        (tmp_path / f"{name}.py").write_text(noise + "raise KeyError('lib')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    tree = ProcessTree(os.getpid())
    assert Nvidia(NOWHERE).read(tree)[0].text == "pynvml cannot be imported (KeyError('lib'))"
    assert Amd(NOWHERE).read(tree)[0].text == "amdsmi cannot load its library ('lib')"
    assert Amd(DRIVER).read(tree)[0].state == "error"
    Gpus().close()
    assert capsys.readouterr().out == ""


# amdsmi, as much of it as is asked: names, shapes and units are those of the package's 7.0.2, whose C library is not to be had
# without a driver. No part of this was ever seen on real hardware.


class _Kind(IntEnum):
    VRAM = 0
    HOTSPOT = 1
    CURRENT = 2


class AmdSmiException(Exception):
    pass


class AmdSmiLibraryException(AmdSmiException):
    def __init__(self, info: str) -> None:
        super().__init__(info)
        self.err_info = info

    def __str__(self) -> str:
        return f"Error code:\n\t1 | {self.err_info}"


class Amdsmi(ModuleType):
    """Two boards; `fails` names calls that raise, for all boards or for one."""

    AmdSmiMemoryType = AmdSmiTemperatureType = AmdSmiTemperatureMetric = _Kind
    AmdSmiException = AmdSmiException

    def __init__(self) -> None:
        super().__init__("amdsmi")
        self.boards = ["first", "second"]
        self.fails: dict[str, str] = {}
        self.initialised = 0
        self.process = {
            "name": "N/A",
            "pid": os.getpid(),
            "mem": 9,
            "memory_usage": {"gtt_mem": 1, "cpu_mem": 2, "vram_mem": 4096},
        }
        self.answers: dict[str, Any] = {
            "amdsmi_get_gpu_device_uuid": "84ff74a1-0000-1000-80c2-000000000000",
            "amdsmi_get_gpu_asic_info": {"market_name": "AMD Instinct MI300X"},
            "amdsmi_get_gpu_activity": {"gfx_activity": 88, "umc_activity": 10, "mm_activity": "N/A"},
            "amdsmi_get_gpu_memory_usage": 5 << 30,
            "amdsmi_get_gpu_memory_total": 192 << 30,
            "amdsmi_get_temp_metric": 61,
            "amdsmi_get_power_info": {"current_socket_power": 420, "average_socket_power": "N/A"},
            "amdsmi_get_power_cap_info": {"power_cap": 750_000_000},
            "amdsmi_get_gpu_process_list": [self.process],
        }

    def amdsmi_init(self) -> None:
        self._check("amdsmi_init")
        self.initialised += 1

    def amdsmi_shut_down(self) -> None:
        self.initialised -= 1

    def amdsmi_get_processor_handles(self) -> list[str]:
        return self.boards

    def __getattr__(self, name: str) -> Any:
        answers = self.__dict__.get("answers", {})
        if name not in answers:
            raise AttributeError(name)

        def call(handle: str, *_: Any) -> Any:
            self._check(name)
            self._check(handle)
            return answers[name]

        return call

    def _check(self, what: str) -> None:
        if what in self.fails:
            raise AmdSmiLibraryException(self.fails[what])


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch) -> Amdsmi:
    module = Amdsmi()
    monkeypatch.setitem(sys.modules, "amdsmi", module)
    return module


def amd(vendor: Amd) -> tuple[Library, list[Device]]:
    return vendor.read(ProcessTree(os.getpid()))


def test_amd_has_the_same_shape(smi: Amdsmi) -> None:
    """As NVIDIA's: bytes, watts, degrees and per cent; initialised once."""
    vendor = Amd(NOWHERE)
    library, devices = amd(vendor)
    assert library == Library("amd", "devices")
    assert amd(vendor)[1] == devices and smi.initialised == 1
    (process,) = devices[1].processes or ()
    assert (process.pid, process.memory_bytes) == (os.getpid(), 4096)
    assert devices[1] == Device(
        "amd",
        1,
        "84ff74a1-0000-1000-80c2-000000000000",
        "AMD Instinct MI300X",
        utilisation_percent=88,
        memory_used_bytes=5 << 30,
        memory_total_bytes=192 << 30,
        temperature_c=61,
        power_w=420.0,
        power_limit_w=750.0,
        processes=(process,),
    )
    vendor.close()
    assert smi.initialised == 0


def test_amds_units_are_told_by_their_size(smi: Amdsmi) -> None:
    """Other releases: thousandths of a degree, watts; boards before MI300 tell the average power."""
    smi.answers["amdsmi_get_temp_metric"] = 61_500
    smi.answers["amdsmi_get_power_cap_info"] = {"power_cap": 300}
    smi.answers["amdsmi_get_power_info"] = {"current_socket_power": "N/A", "average_socket_power": 120}
    device = amd(Amd(NOWHERE))[1][0]
    assert (device.temperature_c, device.power_limit_w, device.power_w) == (61, 300.0, 120.0)


def test_what_amd_does_not_tell_is_said(smi: Amdsmi) -> None:
    """What a board has not is None; what failed, and what another release answers otherwise, has its reason."""
    smi.answers["amdsmi_get_gpu_activity"] = {"gfx_activity": "N/A"}
    smi.answers["amdsmi_get_gpu_process_list"] = [object()]
    smi.fails = {
        "amdsmi_get_temp_metric": "AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported",
        "amdsmi_get_power_cap_info": "AMDSMI_STATUS_NO_PERM - Permission Denied",
    }
    device = amd(Amd(NOWHERE))[1][0]
    assert (device.utilisation_percent, device.temperature_c, device.power_limit_w, device.processes) == (None,) * 4
    assert device.faults.pop("processes").startswith("This release of amdsmi answers otherwise: TypeError(")
    assert device.faults == {"power_limit_w": "AMDSMI_STATUS_NO_PERM - Permission Denied"}
    assert device.error is None


def test_a_broken_amd_board_hides_no_other(smi: Amdsmi) -> None:
    """It keeps its name."""
    vendor = Amd(NOWHERE)
    whole = amd(vendor)[1]
    smi.fails["second"] = "AMDSMI_STATUS_IO - I/O Error"
    first, second = amd(vendor)[1]
    assert first == whole[0]
    assert (second.error, second.name, second.processes) == ("AMDSMI_STATUS_IO - I/O Error", "AMD Instinct MI300X", None)


def test_amds_library_that_fails_is_tried_again(smi: Amdsmi) -> None:
    """Its own words, without the number before them."""
    vendor = Amd(NOWHERE)
    smi.fails["amdsmi_init"] = "AMDSMI_STATUS_DRIVER_NOT_LOADED - Driver not loaded"
    assert amd(vendor)[0] == Library("amd", "error", text="AMDSMI_STATUS_DRIVER_NOT_LOADED - Driver not loaded")
    smi.fails.clear()
    assert amd(vendor)[0].state == "devices"
    smi.boards = []
    assert amd(vendor)[0] == Library("amd", "none", text="The driver shows no device")
