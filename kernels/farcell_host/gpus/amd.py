"""AMD's GPUs, by the `amdsmi` of their ROCm: "AMD SMI Python API reference", 6.0 to 7.0.

Written from that reference and the package's source: it has never met a real device. Values of which releases differ in the
unit are told apart by their size.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .processes import ProcessTree
from .reading import Device, GpuProcess, Library

_CONTROL = Path("/dev/kfd")  # there when the driver is
_MISSING = "amdsmi is not installed in this Python: pip install the one of your ROCm, /opt/rocm/share/amd_smi"
_HOTTEST_C = 1000  # above it is in thousandths of a degree
_STRONGEST_W = 100_000  # above it is in microwatts


class Amd:
    def __init__(self, control: Path = _CONTROL) -> None:
        self._control = control
        self._is_open = False
        self._identities: dict[int, dict[str, str | None]] = {}

    def read(self, tree: ProcessTree) -> tuple[Library, list[Device]]:
        try:
            smi = _library()
        except ImportError as error:
            return self._without(str(error)), []
        try:
            if not self._is_open:
                smi.amdsmi_init()
                self._is_open = True
            handles = smi.amdsmi_get_processor_handles()
        except smi.AmdSmiException as error:
            self.close()  # the next reading starts anew
            return Library("amd", "error", text=_text(error)), []
        devices = [self._device(smi, index, handle, tree) for index, handle in enumerate(handles)]
        if not devices:
            return Library("amd", "none", text="The driver shows no device"), []
        if all(device.error for device in devices):
            self.close()
        return Library("amd", "devices"), devices

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            smi = _library()
            with contextlib.suppress(smi.AmdSmiException):
                smi.amdsmi_shut_down()

    def _without(self, text: str) -> Library:
        if self._control.exists():
            return Library("amd", "error", text=f"AMD's driver is here, but {text}")
        return Library("amd", "none", text=text)

    def _device(self, smi: Any, index: int, handle: Any, tree: ProcessTree) -> Device:
        query = _Query(smi)
        power = query("power_w", lambda: smi.amdsmi_get_power_info(handle)) or {}
        vram = smi.AmdSmiMemoryType.VRAM
        identity: dict[str, Any] = {
            "uuid": query("uuid", lambda: smi.amdsmi_get_gpu_device_uuid(handle)),
            "name": query("name", lambda: smi.amdsmi_get_gpu_asic_info(handle)["market_name"]),
        }
        values: dict[str, Any] = {
            "utilisation_percent": query("utilisation_percent", lambda: smi.amdsmi_get_gpu_activity(handle)["gfx_activity"]),
            "memory_used_bytes": query("memory_used_bytes", lambda: smi.amdsmi_get_gpu_memory_usage(handle, vram)),
            "memory_total_bytes": query("memory_total_bytes", lambda: smi.amdsmi_get_gpu_memory_total(handle, vram)),
            "temperature_c": query("temperature_c", lambda: _temperature(smi, handle)),
            # Instinct boards from MI300 on tell the first, all others the second; what a board does not tell is "N/A" or 0.
            "power_w": _number(power.get("current_socket_power")) or _number(power.get("average_socket_power")),
            "power_limit_w": query("power_limit_w", lambda: _watts(smi.amdsmi_get_power_cap_info(handle)["power_cap"])),
            "processes": query("processes", lambda: _processes(smi.amdsmi_get_gpu_process_list(handle), tree)),
        }
        if all(value is None for value in (*identity.values(), *values.values())) and query.faults:
            known = self._identities.get(index, {})
            return Device("amd", index, known.get("uuid"), known.get("name"), error=next(iter(query.faults.values())))
        self._identities[index] = identity
        return Device("amd", index, **identity, **values, faults=query.faults)


class _Query:
    def __init__(self, smi: Any) -> None:
        self._smi = smi
        self.faults: dict[str, str] = {}

    def __call__(self, what: str, ask: Callable[[], Any]) -> Any:
        """None when the board has no such value, or with a fault."""
        try:
            said = ask()
        except self._smi.AmdSmiException as error:
            if "NOT_SUPPORTED" not in (text := _text(error)):
                self.faults[what] = text
            return None
        except (AttributeError, KeyError, TypeError) as error:  # another release's call or answer
            self.faults[what] = f"This release of amdsmi answers otherwise: {error!r}"
            return None
        return None if said == "N/A" else said


def _library() -> Any:
    """Raises ImportError also when the package is there and its C library is not, of which it prints a complaint."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module("amdsmi")
    except ModuleNotFoundError as error:
        raise ImportError(_MISSING) from error
    except Exception as error:  # KeyError('libamd_smi.so') in 7.0, others in other releases
        raise ImportError(f"amdsmi cannot load its library ({error})") from error


def _temperature(smi: Any, handle: Any) -> int | None:
    """The hottest place's, which all boards have."""
    kinds, current = smi.AmdSmiTemperatureType, smi.AmdSmiTemperatureMetric.CURRENT
    said = _number(smi.amdsmi_get_temp_metric(handle, kinds.HOTSPOT, current))
    return None if said is None else int(said / 1000 if said > _HOTTEST_C else said)


def _watts(said: Any) -> float | None:
    number = _number(said)
    return None if number is None else number / 1_000_000 if number > _STRONGEST_W else number


def _number(said: Any) -> float | None:
    return None if said is None or isinstance(said, str) else float(said)


def _processes(listed: list[dict[str, Any]], tree: ProcessTree) -> tuple[GpuProcess, ...]:
    identified = [(*tree.identify(int(entry["pid"])), int(entry["memory_usage"]["vram_mem"])) for entry in listed]
    return tuple(GpuProcess(pid, size, owner) for pid, owner, size in identified)


def _text(error: Exception) -> str:
    """Without the number and the line break that the package puts before it."""
    return str(getattr(error, "err_info", None) or error)
