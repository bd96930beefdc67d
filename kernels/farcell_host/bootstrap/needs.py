"""What a remote kernel needs beside Python."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping

KERNEL: Mapping[str, tuple[int, ...]] = {"ipykernel": (6, 29), "ipython": (8, 20)}
"""Without these there is none: distribution -> the oldest version that will do."""
_MODULES = {"ipython": "IPython"}

REQUIREMENTS = (
    *(f"{name}>={'.'.join(map(str, oldest))}" for name, oldest in KERNEL.items()),
    "blake3>=1.0",  # large values are compared and addressed several times faster
    "xxhash>=3.4",
    "nvidia-ml-py>=12.535",  # 0.1 MB, and a cluster's login node cannot tell whether its GPU nodes need it
    "pip",  # for %pip in cells
)
"""What an environment of ours gets."""


def lacking() -> str | None:
    """What this Python lacks for a kernel, in words; None where it can run one."""
    texts = (_shortfall(name, oldest) for name, oldest in KERNEL.items())
    return next((text for text in texts if text is not None), None)


def _shortfall(name: str, oldest: tuple[int, ...]) -> str | None:
    spec = importlib.util.find_spec(_MODULES.get(name, name))
    if spec is None or spec.origin is None:
        return f"no {name}"
    return too_old(name, os.listdir(os.path.dirname(os.path.dirname(spec.origin))), oldest)


def too_old(name: str, files: Iterable[str], oldest: tuple[int, ...]) -> str | None:
    """What is wrong with the version that one of these folders of metadata names; None where it will do, or none tells it.

    importlib.metadata would say the same, and its import takes longer than all that a start does here.
    """
    told = re.compile(rf"{name}-(\d[^-]*?)(?:-[^-]+)?\.(?:dist|egg)-info", re.IGNORECASE)
    versions = [match[1] for file in files if (match := told.fullmatch(file))]
    if not versions:
        return None
    latest = max(versions, key=_numbers)
    wanted = ".".join(map(str, oldest))
    return None if _numbers(latest)[: len(oldest)] >= oldest else f"{name} {latest}, which is older than {wanted}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
