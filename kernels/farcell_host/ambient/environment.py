"""What the notebook's cells changed in os.environ, by comparison with what the process was started with.

Nothing that looks like a credential ever travels, nor what describes this machine, its terminal or this kernel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from .provider import Provider
from .watch import Watch

_SECRET = re.compile(r"token|secret|passw|passphrase|credential|key|auth|cookie|session|signature|private", re.IGNORECASE)
_OWN = re.compile(
    r"(JPY|FARCELL|PYDEVD|JUPYTER|IPYTHON|SLURM|CONDA|XDG)_|\w*PATH$|(_|VIRTUAL_ENV|PYTHONHOME|TMPDIR|PWD|OLDPWD|SHLVL|HOSTNAME|HOME|USER|LOGNAME|TERM|COLUMNS|LINES|MPLBACKEND|DISPLAY"
    r"|CLICOLOR|FORCE_COLOR|CLICOLOR_FORCE|PAGER|GIT_PAGER)$"
)


class Environment(Provider):
    name = "environment variables"
    pristine: ClassVar[Any] = {}

    def __init__(self, started_with: Mapping[str, str] | None = None) -> None:
        self._started_with = dict(_at_start() if started_with is None else started_with)

    def watch(self) -> Watch:
        watch = Watch()
        watch.dict(_data())
        return watch

    def stamp(self) -> Any:
        return _data().copy()

    def take(self) -> Any:
        return _changes(self._started_with, dict(os.environ))

    def take_since(self, stamp: Any) -> Any:
        return _changes({_text(name): _text(value) for name, value in stamp.items()}, dict(os.environ))

    def take_under(self, content: Any) -> Any:
        return {name: os.environ.get(name) for name in content}

    def put(self, content: Any) -> None:
        for name, value in content.items():
            if _may_travel(name):
                _set(name, value)


def _data() -> dict[Any, Any]:
    return os.environ._data  # type: ignore[attr-defined, no-any-return, unused-ignore]  # bytes: nothing is decoded


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str | None]:
    changed: dict[str, str | None] = {name: value for name, value in now.items() if before.get(name) != value}
    gone = dict.fromkeys(before.keys() - now.keys())
    return {name: value for name, value in {**changed, **gone}.items() if _may_travel(name)}


def _text(value: str | bytes) -> str:
    return os.fsdecode(value)


def _may_travel(name: str) -> bool:
    return not _SECRET.search(name) and not _OWN.match(name)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _at_start() -> dict[str, str]:
    """What this process was started with, where the system keeps it; else what there is now."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}
