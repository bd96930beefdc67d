"""The stand-in for NVIDIA's library answers pynvml as its class says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from services.nvml import DRIVER_NOT_LOADED, GPU_IS_LOST, StubNvml

# The loader reads LD_LIBRARY_PATH when a process begins, so that pynvml is asked in another one: a line of Python each time.
READER = """
import json, sys
import pynvml
for line in sys.stdin:
    try:
        said = eval(line, vars(pynvml))
    except pynvml.NVMLError as error:
        said = type(error).__name__
    print(json.dumps(said), flush=True)
"""


class Reader:
    """A process that asks pynvml."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER], env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, expression: str) -> Any:
        """Its value; the name of the NVMLError that it raises."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{expression}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def gpu(self, number: int, question: str) -> Any:
        return self.ask(f"nvmlDevice{question.replace('()', f'(nvmlDeviceGetHandleByIndex({number}))')}")

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture
def reader(nvml: StubNvml) -> Iterator[Reader]:
    reader = Reader(nvml.environment())
    yield reader
    reader.close()


def test_two_gpus_are_there_at_first(nvml: StubNvml, reader: Reader) -> None:
    """H100s, idle, each with a name of its own."""
    assert reader.ask("nvmlInit()") is None
    assert reader.ask("nvmlDeviceGetCount()") == 2
    assert [reader.gpu(number, "GetName()") for number in (0, 1)] == ["NVIDIA H100 80GB HBM3"] * 2
    assert reader.gpu(0, "GetUUID()") != reader.gpu(1, "GetUUID()")
    assert reader.gpu(0, "GetMemoryInfo().total") == 80 << 30
    assert reader.gpu(0, "GetUtilizationRates().gpu") == 0
    assert reader.gpu(0, "GetComputeRunningProcesses()") == []


def test_values_are_read_from_the_file_at_each_call(nvml: StubNvml, reader: Reader) -> None:
    """What is set for one GPU, for all, and changed meanwhile, is what the process sees."""
    reader.ask("nvmlInit()")
    nvml.set(0, util=97, mem_used=70 << 30)
    nvml.set(power=650_000, temp=71)
    assert [reader.gpu(number, "GetUtilizationRates().gpu") for number in (0, 1)] == [97, 0]
    assert reader.gpu(0, "GetMemoryInfo().used") == 70 << 30
    assert [reader.gpu(number, "GetPowerUsage()") for number in (0, 1)] == [650_000, 650_000]
    assert reader.ask("nvmlDeviceGetTemperature(nvmlDeviceGetHandleByIndex(1), NVML_TEMPERATURE_GPU)") == 71
    nvml.set(0, util=3)
    assert reader.gpu(0, "GetUtilizationRates().gpu") == 3
    nvml.clear()
    assert reader.gpu(0, "GetPowerUsage()") == 70_000


def test_processes_have_pids_and_memory(nvml: StubNvml, reader: Reader) -> None:
    """As many as the file names, also more than a first question has room for."""
    reader.ask("nvmlInit()")
    nvml.set(0, procs=",".join(f"{pid}:{pid << 20}" for pid in range(1, 41)))
    processes = "nvmlDeviceGetComputeRunningProcesses(nvmlDeviceGetHandleByIndex(0))"
    assert reader.ask(f"[[process.pid, process.usedGpuMemory] for process in {processes}]") == [
        [pid, pid << 20] for pid in range(1, 41)
    ]
    assert reader.gpu(1, "GetComputeRunningProcesses()") == []


def test_errors_are_nvmls_own(nvml: StubNvml, reader: Reader) -> None:
    """A lost GPU, what an SXM board does not support, what this library lacks, no GPU of that number, no driver."""
    assert reader.ask("nvmlDeviceGetCount()") == "NVMLError_Uninitialized"
    reader.ask("nvmlInit()")
    nvml.set(1, error=GPU_IS_LOST)
    assert reader.gpu(1, "GetUtilizationRates()") == "NVMLError_GpuIsLost"
    assert reader.gpu(0, "GetUtilizationRates().gpu") == 0
    assert reader.gpu(0, "GetFanSpeed()") == "NVMLError_NotSupported"
    assert reader.gpu(0, "GetEncoderUtilization()") == "NVMLError_FunctionNotFound"
    assert reader.ask("nvmlDeviceGetHandleByIndex(2)") == "NVMLError_InvalidArgument"
    nvml.set(count=0)
    assert reader.ask("nvmlDeviceGetCount()") == 0
    nvml.set(init_error=DRIVER_NOT_LOADED)
    assert reader.ask("nvmlInit()") == "NVMLError_DriverNotLoaded"


def test_only_who_asks_for_it_sees_it(nvml: StubNvml) -> None:
    """Without the environment a process finds this machine's own library, or none."""
    reader = Reader({"LD_LIBRARY_PATH": ""})
    try:
        reader.ask("nvmlInit()")
        assert str(nvml.folder) not in reader.ask("open('/proc/self/maps').read()")
    finally:
        reader.close()
