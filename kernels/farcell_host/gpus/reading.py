"""What one look at the GPUs found, ready for JSON."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .processes import Owner

Vendor = Literal["nvidia", "amd"]
State = Literal["devices", "none", "error"]
Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class GpuProcess:
    pid: int
    """In this process's namespace where that is known, else as the library counts."""
    memory_bytes: int | None
    """On that device; None where the driver does not tell."""
    owner: Owner


@dataclass(frozen=True)
class Device:
    """A value is None where this board has none, or where `faults` says why it could not be read."""

    vendor: Vendor
    index: int
    """In the library's order, which CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER do not change."""
    uuid: str | None = None
    name: str | None = None
    utilisation_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    processes: tuple[GpuProcess, ...] | None = None
    error: str | None = None
    """The whole device cannot be read. Its name and uuid are those of an earlier reading."""
    faults: dict[str, str] = field(default_factory=dict)
    """Single values that could not be read, each with the library's words."""

    @property
    def has_own_process(self) -> bool:
        """Whether a process of the session is known to be on it."""
        return any(process.owner is Owner.SESSION for process in self.processes or ())


@dataclass(frozen=True)
class Library:
    """What one vendor's library said."""

    vendor: Vendor
    state: State
    driver: str | None = None
    """Its version."""
    text: str | None = None
    """Why there is none, or what went wrong."""


@dataclass(frozen=True)
class Reading:
    libraries: tuple[Library, ...]
    devices: tuple[Device, ...]
    users: frozenset[int] = frozenset()
    """PIDs of the session's processes that have a GPU open; looked for where one is on a GPU that cannot be told whose it is."""

    @property
    def state(self) -> State:
        """`devices` when any could be counted, else `error` when a library failed, else `none`."""
        states = {library.state for library in self.libraries}
        return "devices" if self.devices else "error" if "error" in states else "none"

    def own_process(self, apart_from: Collection[int] = ()) -> Answer:
        """Whether a process of the session, those PIDs apart, is on a GPU; unknown when one may be that cannot be told."""
        processes = [process for device in self.devices for process in device.processes or ()]
        if any(process.owner is Owner.SESSION and process.pid not in apart_from for process in processes):
            return "yes"
        return "no" if self._is_complete else "unknown"

    def in_use_by(self, kernels: Collection[int]) -> bool:
        """Whether the session has work on a GPU, though it runs no cell; `kernels` are the PIDs of remote kernels.

        Any other process of the session counts: it was started for that. A kernel which has used a GPU once keeps its context
        until it ends, so it counts only while the device computes.
        """
        for device in self.devices:
            for process in device.processes or ():
                if process.owner is Owner.SESSION and (process.pid not in kernels or device.utilisation_percent):
                    return True
        is_computing = any(device.utilisation_percent for device in self.devices)
        return any(pid not in kernels or is_computing for pid in self.users)

    @property
    def has_unknown_process(self) -> bool:
        return any(process.owner is Owner.UNKNOWN for device in self.devices for process in device.processes or ())

    @property
    def own_memory_bytes(self) -> int | None:
        """GPU memory of the session's processes, on the devices of which it is known; None when it is known of none."""
        each = [own_memory_bytes(device) for device in self.devices]
        total = sum(size for size in each if size is not None)
        return total if total or (self._is_complete and None not in each) else None

    @property
    def _is_complete(self) -> bool:
        """Whether all GPU processes are known, with whose they are."""
        has_all = all(library.state != "error" for library in self.libraries)
        return has_all and all(_is_known(device) for device in self.devices)

    def as_fields(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "own_memory_bytes": self.own_memory_bytes,
            "libraries": [asdict(library) for library in self.libraries],
            "devices": [_device_fields(device) for device in self.devices],
        }


def own_memory_bytes(device: Device) -> int | None:
    """Of the session's processes on this device; None when it is not known."""
    own = [process.memory_bytes for process in device.processes or () if process.owner is Owner.SESSION]
    if None in own or not (own or _is_known(device)):
        return None
    return sum(size for size in own if size is not None)


def _is_known(device: Device) -> bool:
    return device.processes is not None and all(process.owner is not Owner.UNKNOWN for process in device.processes)


def _device_fields(device: Device) -> dict[str, Any]:
    processes = None
    if device.processes is not None:
        processes = [{**asdict(process), "owner": process.owner.value} for process in device.processes]
    return {**asdict(device), "processes": processes}
