"""NVIDIA's GPUs, by NVML through nvidia-ml-py: NVML API reference, "Device Queries"."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .processes import ProcessTree
from .reading import Device, GpuProcess, Library

_CONTROL = Path("/dev/nvidiactl")  # there when the driver is, in containers too
_INSTALL = "nvidia-ml-py is not installed in this Python: pip install nvidia-ml-py"


class Nvidia:
    def __init__(self, control: Path = _CONTROL) -> None:
        self._control = control
        self._is_open = False
        self._identities: dict[int, dict[str, str | None]] = {}
        """Of devices that could be read once: a lost one does not tell its name any more."""

    def read(self, tree: ProcessTree) -> tuple[Library, list[Device]]:
        try:
            nvml: Any = importlib.import_module("pynvml")
        except ModuleNotFoundError:
            return self._without(_INSTALL), []
        except Exception as error:  # another package's own code: what it raises says nothing about GPUs
            return self._without(f"pynvml cannot be imported ({error!r})"), []
        try:
            try:
                return self._read(nvml, tree)
            except nvml.NVMLError as error:
                if not self._is_open or error.value not in _stale(nvml):
                    raise
                self.close()
                return self._read(nvml, tree)
        except nvml.NVMLError as error:
            self.close()
            if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
                return self._without(str(error)), []
            return Library("nvidia", "error", text=str(error)), []

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            nvml: Any = importlib.import_module("pynvml")
            with contextlib.suppress(nvml.NVMLError):  # a driver that has gone away has nothing to shut down
                nvml.nvmlShutdown()

    def _without(self, text: str) -> Library:
        """No software to look with: no GPU either, or an error where the driver is."""
        if self._control.exists():
            return Library("nvidia", "error", text=f"NVIDIA's driver is here, but {text}")
        return Library("nvidia", "none", text=text)

    def _read(self, nvml: Any, tree: ProcessTree) -> tuple[Library, list[Device]]:
        if not self._is_open:
            nvml.nvmlInit()
            self._is_open = True
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        counted = [self._device(nvml, index, tree) for index in range(nvml.nvmlDeviceGetCount())]
        devices = [device for device in counted if device is not None]
        if devices and all(device.error for device in devices):
            self.close()  # what they need may be a new start
        if not devices:
            text = "No device is open to this user or job" if counted else "The driver shows no device"
            return Library("nvidia", "none", driver, text), []
        return Library("nvidia", "devices", driver), devices

    def _device(self, nvml: Any, index: int, tree: ProcessTree) -> Device | None:
        """None for another job's: NVML counts devices that a cgroup keeps from this process, which can have nothing on them."""
        known = self._identities.get(index, {})
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            query = _Query(nvml, handle)
            identity: dict[str, Any] = {"uuid": uuid, "name": query("name", lambda: _text(nvml.nvmlDeviceGetName(handle)))}
            memory = query("memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
            values: dict[str, Any] = {
                "utilisation_percent": query("utilisation_percent", lambda: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
                "memory_used_bytes": int(memory.used) if memory else None,
                "memory_total_bytes": int(memory.total) if memory else None,
                "temperature_c": query(
                    "temperature_c", lambda: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
                ),
                "power_w": query("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
                "power_limit_w": query("power_limit_w", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
                "processes": query.processes(tree),
            }
        except nvml.NVMLError as error:
            if error.value in _stale(nvml):
                raise
            if error.value == nvml.NVML_ERROR_NO_PERMISSION:
                return None
            return Device("nvidia", index, known.get("uuid"), known.get("name"), error=str(error))
        self._identities[index] = identity
        return Device("nvidia", index, **identity, **values, faults=query.faults)


class _Query:
    """Asks one device for one value after the other, and keeps what was said instead of a value."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.faults: dict[str, str] = {}

    def __call__(self, what: str, ask: Callable[[], Any]) -> Any:
        """None when the board has no such value, or with a fault. Raises NVMLError when the device answers nothing any more."""
        nvml = self._nvml
        try:
            return ask()
        except nvml.NVMLError as error:
            if error.value in (*_stale(nvml), nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
                raise
            if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                self.faults[what] = str(error)
        except AttributeError as error:  # an nvidia-ml-py from before that call
            self.faults[what] = str(error)
        return None

    def processes(self, tree: ProcessTree) -> tuple[GpuProcess, ...] | None:
        """Computing or drawing; None when the first cannot be told."""
        computing = self("processes", lambda: self._listed("Compute"))
        if computing is None:
            return None
        drawing = self("graphics processes", lambda: self._listed("Graphics"))
        found: dict[int, int | None] = {}
        for processes in (computing, drawing or ()):  # a process that does both is in both lists, with the same memory
            sizes: dict[int, list[int | None]] = {}
            for process in processes:  # once for each MIG instance
                sizes.setdefault(process.pid, []).append(process.usedGpuMemory)
            for pid, each in sizes.items():
                if found.get(pid) is None:
                    found[pid] = None if None in each else sum(size for size in each if size is not None)
        identified = [(*tree.identify(pid), size) for pid, size in found.items()]
        return tuple(GpuProcess(pid, size, owner) for pid, owner, size in identified)

    def _listed(self, kind: str) -> Any:
        """By the newest of NVML's functions that the driver has: those before 510 lack the third.

        The name without a number raises no NVMLError with them; it is the only one in nvidia-ml-py before 11.515.
        """
        nvml, plain = self._nvml, f"nvmlDeviceGet{kind}RunningProcesses"
        *newer, oldest = [name for name in (f"{plain}_v3", f"{plain}_v2") if hasattr(nvml, name)] or [plain]
        for name in newer:
            try:
                return getattr(nvml, name)(self._handle)
            except nvml.NVMLError as error:
                if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                    raise
        return getattr(nvml, oldest)(self._handle)


def _stale(nvml: Any) -> tuple[int, ...]:
    """The library has to be initialised anew: the driver was unloaded, or another one loaded."""
    return (nvml.NVML_ERROR_UNINITIALIZED, nvml.NVML_ERROR_DRIVER_NOT_LOADED, nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)


def _text(said: str | bytes) -> str:
    """Releases of nvidia-ml-py before 11.515 give bytes."""
    return said.decode(errors="replace") if isinstance(said, bytes) else said
