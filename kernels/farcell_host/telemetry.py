"""When the host looks at its GPUs: while a run goes on, for its peak; now and then while none does, for a process that was left
on one; and when somebody asks.

A look may take seconds when a GPU hangs, so one thread takes them, one at a time, and whoever wants one meanwhile gets the same.
The first is taken when a run has lasted for FIRST_S, so shorter runs cost nothing and show no peak. Where there is no GPU, the
first look is the last, until somebody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported by the first look, not while the kernel starts
    from .gpus import Peak, Reading

FIRST_S = 0.25
INTERVAL_S = 1.0
FRESH_S = 0.5
"""Who asks gets a look that is not older: many observers cost no more than one."""
IDLE_S = 60.0


class _Looker:
    """The thread; begins with the first look."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted: queue.SimpleQueue[asyncio.Future[Reading] | None] = queue.SimpleQueue()
        self._current: asyncio.Future[Reading] | None = None
        self._thread: threading.Thread | None = None

    def look(self) -> asyncio.Future[Reading]:
        """The look that is being taken, or a new one. Not to be cancelled: it is everybody's."""
        if self._current is None or self._current.done():
            self._current = self._loop.create_future()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="farcell-gpus", daemon=True)
                self._thread.start()
            self._wanted.put(self._current)
        return self._current

    def close(self) -> None:
        """Does not wait: a driver that hangs must not keep the host."""
        self._wanted.put(None)

    def _work(self) -> None:
        from .gpus import Gpus

        gpus = Gpus()
        while (wanted := self._wanted.get()) is not None:
            reading, fault = None, None
            try:
                reading = gpus.read()
            except Exception as error:  # what no library's fault explains is for whoever asked
                fault = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(_settle, wanted, reading, fault)
        gpus.close()


def _settle(wanted: asyncio.Future[Reading], reading: Reading | None, fault: Exception | None) -> None:
    if wanted.done():
        return
    if reading is not None:
        wanted.set_result(reading)
    elif fault is not None:
        wanted.set_exception(fault)


class Telemetry:
    """All methods are for the loop's thread. `on_use` is told when the session's own work is found on a GPU between runs."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, kernel_pid: Callable[[], int], on_use: Callable[[], None], idle_s: float = IDLE_S
    ) -> None:
        """`idle_s`: seconds between two looks while no run goes on."""
        self._loop, self._kernel_pid, self._on_use, self._idle_s = loop, kernel_pid, on_use, idle_s
        self._looker = _Looker(loop)
        self._has_gpus = True  # until a look has found none
        self._used: set[tuple[str, int]] = set()
        self._latest: tuple[float, Reading] | None = None
        self._runs = 0
        self._is_running = False
        self._peak: Peak | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = loop.call_later(idle_s, self._look_while_idle)

    @property
    def gpus_used(self) -> int:
        """How many devices have been seen with a process of the session."""
        return len(self._used)

    @property
    def peak(self) -> Peak | None:
        """So far, of the run that goes on; None when it has not been looked at."""
        return self._peak

    def run_began(self) -> None:
        self._runs += 1
        self._is_running = True
        if self._has_gpus:
            self._timer = self._loop.call_later(FIRST_S, self._look)

    def run_ended(self) -> Peak | None:
        """Of the run that began last; None when it has not been looked at."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_running = False
        peak, self._peak = self._peak, None
        return peak

    async def read(self) -> Reading:
        """What the GPUs do now."""
        if self._latest is not None and self._loop.time() - self._latest[0] < FRESH_S:
            return self._latest[1]
        reading = await asyncio.shield(self._looker.look())
        self._saw(reading)
        return reading

    def close(self) -> None:
        self.run_ended()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        self._looker.close()

    def _look(self) -> None:
        run = self._runs
        self._looker.look().add_done_callback(lambda look: self._looked(run, look))

    def _looked(self, run: int, look: asyncio.Future[Reading]) -> None:
        """For the run's peak, if it still goes on; one that could not be looked at is not tried again before the next run."""
        if look.exception() is not None:
            return
        reading = look.result()
        self._saw(reading)
        if not self._is_running or run != self._runs:
            return
        if self._peak is None:
            from .gpus import Peak

            self._peak = Peak()
        self._peak.add(reading)
        self._timer = self._loop.call_later(INTERVAL_S, self._look) if reading.state == "devices" else None

    def _look_while_idle(self) -> None:
        self._idle_timer = self._loop.call_later(self._idle_s, self._look_while_idle)
        if self._has_gpus and not self._is_running:
            self._looker.look().add_done_callback(self._looked_while_idle)

    def _looked_while_idle(self, look: asyncio.Future[Reading]) -> None:
        if look.exception() is None:
            self._saw(look.result())
            if look.result().in_use_by((self._kernel_pid(),)):
                self._on_use()

    def _saw(self, reading: Reading) -> None:
        self._latest = self._loop.time(), reading
        self._has_gpus = reading.state != "none"
        self._used.update((device.vendor, device.index) for device in reading.devices if device.has_own_process)


def peak_fields(peak: Peak | None) -> dict[str, Any] | None:
    """Of a run, for its `usage`: bytes of the session's own at one time, and utilisation in per cent of the devices it was on.

    None when no GPU was looked at. Utilisation is whoever's the device was; None when the session was on no device, and that of
    all devices where nobody can tell (in a container).
    """
    if peak is None or not peak.devices:
        return None
    own = [device for device in peak.devices if device.own_memory_bytes] or ([] if peak.memory_bytes == 0 else peak.devices)
    means = [device.utilisation_mean_percent for device in own if device.utilisation_mean_percent is not None]
    peaks = [device.utilisation_peak_percent for device in own if device.utilisation_peak_percent is not None]
    return {
        **peak.as_fields(),
        "utilisation_mean_percent": sum(means) / len(means) if means else None,
        "utilisation_peak_percent": max(peaks, default=None),
    }
