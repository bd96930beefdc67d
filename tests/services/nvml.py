"""A stand-in for NVIDIA's management library, whose answers are lines of a file: GPUs for telemetry's tests, and their faults."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "fake_nvml" / "fake_nvml.c"
LIBRARY = "libnvidia-ml.so.1"
GPU_IS_LOST = 15
DRIVER_NOT_LOADED = 9


class StubNvml:
    """Two H100s, until `set` says otherwise. A process started with `environment()` sees each change at once."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fcs-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._values: dict[str, object] = {}

    def __enter__(self) -> StubNvml:
        options = ["-O2", "-Wall", "-Wextra", "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-shared"]
        command = [os.environ.get("CC", "cc"), *options, f"-Wl,-soname,{LIBRARY}", "-o", str(self.folder / LIBRARY), str(SOURCE)]
        subprocess.run(command, check=True, timeout=60)
        self.clear()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def file(self) -> Path:
        return self.folder / "values"

    def environment(self) -> dict[str, str]:
        """For the process that looks at the GPUs: NVIDIA's library is found by the dynamic loader."""
        return {"LD_LIBRARY_PATH": str(self.folder), "FAKE_NVML_FILE": str(self.file)}

    def set(self, gpu: int | None = None, **values: object) -> None:
        """Changes values of one GPU or of all; fake_nvml.c lists their names, e.g. util (per cent), mem_used (bytes), error."""
        self._values |= {name if gpu is None else f"{gpu}.{name}": value for name, value in values.items()}
        self._write()

    def clear(self) -> None:
        """Back to the first answers."""
        self._values = {}
        self._write()

    def _write(self) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text("".join(f"{key} = {value}\n" for key, value in self._values.items()))
        fresh.replace(self.file)  # a reader may come at any time
