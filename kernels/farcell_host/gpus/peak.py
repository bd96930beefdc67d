"""The most that a run took of the GPUs, from readings while it went on. What was between two readings nobody saw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .reading import Device, Reading, Vendor, own_memory_bytes


@dataclass(frozen=True)
class DevicePeak:
    vendor: Vendor
    index: int
    uuid: str | None
    name: str | None
    utilisation_mean_percent: float | None
    """Of the readings that had a value, each counting the same; whoever used the device."""
    utilisation_peak_percent: int | None
    own_memory_bytes: int | None
    """Of the session's processes."""
    memory_used_bytes: int | None
    """Of all processes."""


class _Course:
    """One device while the run goes on."""

    def __init__(self) -> None:
        self._device: Device | None = None
        self._utilisation: tuple[int, int, int] | None = None  # readings, sum, peak
        self._own_bytes: int | None = None
        self._used_bytes: int | None = None

    def add(self, device: Device) -> None:
        self._device = device
        if device.utilisation_percent is not None:
            count, total, peak = self._utilisation or (0, 0, 0)
            percent = device.utilisation_percent
            self._utilisation = count + 1, total + percent, max(peak, percent)
        self._own_bytes = _larger(self._own_bytes, own_memory_bytes(device))
        self._used_bytes = _larger(self._used_bytes, device.memory_used_bytes)

    def peak(self) -> DevicePeak:
        assert self._device is not None
        count, total, peak = self._utilisation or (0, 0, None)
        device, mean = self._device, total / count if count else None
        return DevicePeak(device.vendor, device.index, device.uuid, device.name, mean, peak, self._own_bytes, self._used_bytes)


class Peak:
    """Of one run; fed at even intervals."""

    def __init__(self) -> None:
        self.readings = 0
        self.memory_bytes: int | None = None
        """The session's most at one time, on all devices together. None when no reading could tell."""
        self._courses: dict[tuple[str, int], _Course] = {}

    def add(self, reading: Reading) -> None:
        self.readings += 1
        if reading.devices:
            self.memory_bytes = _larger(self.memory_bytes, reading.own_memory_bytes)
        for device in reading.devices:
            self._courses.setdefault((device.vendor, device.index), _Course()).add(device)

    @property
    def devices(self) -> list[DevicePeak]:
        return [course.peak() for course in self._courses.values()]

    def as_fields(self) -> dict[str, Any]:
        devices = [asdict(device) for device in self.devices]
        return {"readings": self.readings, "memory_bytes": self.memory_bytes, "devices": devices}


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
