"""Five minutes of what a session's GPUs have done, in memory. Pure: time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from .schemas import GpuHistory, GpuSample

KEPT_S = 300.0

Key = tuple[str, int, str | None]
"""Vendor, index, uuid: a board that was exchanged is another one."""


class History:
    """Of one session."""

    def __init__(self) -> None:
        self._samples: dict[Key, deque[GpuSample]] = {}

    def add(self, said: Mapping[str, Any], at: float) -> None:
        """A host's answer to `gpus`, `at` seconds since the epoch; what is older than KEPT_S before it is dropped."""
        for device in said.get("devices") or ():
            sample = GpuSample(
                at=at,
                utilisation_percent=device.get("utilisation_percent"),
                memory_used_bytes=device.get("memory_used_bytes"),
                temperature_c=device.get("temperature_c"),
                power_w=device.get("power_w"),
            )
            self._samples.setdefault((device["vendor"], device["index"], device.get("uuid")), deque()).append(sample)
        for key, samples in list(self._samples.items()):
            while samples and samples[0].at < at - KEPT_S:
                samples.popleft()
            if not samples:
                del self._samples[key]

    def told(self, since: float = 0.0) -> list[GpuHistory]:
        return [
            GpuHistory(vendor=vendor, index=index, uuid=uuid, samples=[each for each in samples if each.at > since])
            for (vendor, index, uuid), samples in sorted(self._samples.items(), key=lambda each: each[0][:2])
        ]
