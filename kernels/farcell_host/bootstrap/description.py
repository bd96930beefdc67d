"""What this Python and its machine are, as far as it decides which packages fit."""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any


def abi() -> str:
    """As wheels name it: `cp312`, `cp313t`."""
    return abi_of(EXTENSION_SUFFIXES[0], sys.version_info[:2])


def abi_of(suffix: str, version: tuple[int, int]) -> str:
    """`suffix` is that of extension modules, such as `.cpython-312-x86_64-linux-gnu.so`."""
    named = re.match(r"\.cpython-(\d+t?)", suffix)
    return f"cp{named[1]}" if named else f"cp{version[0]}{version[1]}"


def libc() -> tuple[str, str]:
    """(`glibc`, `2.36`), (`musl`, version or nothing), or (``, ``) where it is another system's own."""
    if not sys.platform.startswith("linux"):
        return "", ""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name, version = "", ""
    return (name, version) if name == "glibc" else ("musl", "")


def family() -> str:
    """Pythons of one family run the same wheels, and environments for one are no use to another: `cp312-linux-glibc-x86_64`."""
    return "-".join(part for part in (abi(), sys.platform, libc()[0], os.uname().machine) if part)


def describe() -> dict[str, Any]:
    """For who chooses packages from afar. `markers` are those of a requirement (Dependency specifiers, "Environment markers")."""
    import platform  # takes a while, and an ordinary start does without

    version = platform.python_version()
    return {
        "python": version,
        "executable": sys.executable,
        "abi": abi(),
        "family": family(),
        "machine": platform.machine(),
        "libc": list(libc()),
        "macos": platform.mac_ver()[0],
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": version,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": version,
            "python_version": ".".join(map(str, sys.version_info[:2])),
            "sys_platform": sys.platform,
        },
    }
