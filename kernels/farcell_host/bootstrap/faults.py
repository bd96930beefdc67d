"""Why there is no environment."""

from __future__ import annotations

import errno

from ..errors import FarcellHostError

NEVER = "never"
"""Something is lacking, and nothing is to be made."""
NO_INSTALLER = "no installer"
NO_WHEELS = "no wheels"
FAILED = "failed"
"""The installers' own words are in the text: most often there is no network."""
NO_ROOM = "no room"
NO_VENV = "no venv"


class NoEnvironment(FarcellHostError):
    """`kind` is one of those above; the text says what to do on this machine."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class NobodyListens(Exception):
    """What reads our output is gone; what went on was ended."""


FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")


def is_full(said: str) -> bool:
    """Whether a program's last words are that the disk or the quota is full."""
    return any(text in said for text in _FULL_TEXTS)


def no_room(folder: object, detail: str) -> NoEnvironment:
    return NoEnvironment(
        NO_ROOM,
        f"there is no room below {folder} ({detail}); nothing was left there. Free some, or set cache_dir of the target "
        "to a folder on another disk.",
    )
