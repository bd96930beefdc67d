"""What this machine's GPUs do, and which of their processes are this session's.

NVIDIA's are read by nvidia-ml-py (`pynvml`), AMD's by `amdsmi`; both come from the target's Python and need not be there. That
there is no GPU is said as `none`; that GPUs are there and cannot be read is an error with the library's own words.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from dataclasses import replace

from .amd import Amd
from .nvidia import Nvidia
from .peak import DevicePeak, Peak
from .processes import Owner, ProcessTree
from .reading import Answer, Device, GpuProcess, Library, Reading

__all__ = ["Answer", "Device", "DevicePeak", "GpuProcess", "Gpus", "Library", "Owner", "Peak", "Reading"]


class Gpus:
    """All GPUs that the libraries show. They are initialised by the first reading, and anew after the driver was reloaded.

    Every call asks the driver and waits for it, which takes milliseconds, or seconds when a GPU hangs: call it in a thread.
    """

    def __init__(self, root_pid: int | None = None) -> None:
        """The session is process `root_pid`, this one when None, and all that descend from it."""
        self._root_pid = os.getpid() if root_pid is None else root_pid
        self._vendors = (Nvidia(), Amd())
        self._lock = threading.Lock()

    def read(self) -> Reading:
        """Never raises for what the libraries say: it is in the reading."""
        return self._read(self._root_pid)

    def has_own_process(self, root_pid: int | None = None, apart_from: Collection[int] = ()) -> Answer:
        """Whether a process of the session is on a GPU now, `apart_from` these: a kernel that has used CUDA is, until it ends."""
        return self._read(self._root_pid if root_pid is None else root_pid).own_process(apart_from)

    def close(self) -> None:
        """Lets go of the devices; a later reading takes them again."""
        with self._lock:
            for vendor in self._vendors:
                vendor.close()

    def _read(self, root_pid: int) -> Reading:
        with self._lock:
            tree = ProcessTree(root_pid)
            found = [vendor.read(tree) for vendor in self._vendors]
            libraries = tuple(library for library, _ in found)
            reading = Reading(libraries, tuple(device for _, devices in found for device in devices))
            return replace(reading, users=tree.gpu_users()) if reading.has_unknown_process else reading
