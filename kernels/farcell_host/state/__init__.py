"""Notebook state: what travels between the two sides, and how it is merged."""

from __future__ import annotations

from .delta import Delta
from .errors import CannotRestore, CannotTravel, StateError
from .payload import ERROR, RESULT, Capture, NameReport, Payload
from .refs import Ref, RefBase, RefInfo
from .replica import Replica
from .sources import BOOK
from .uses import EVERYTHING, uses

__all__ = [
    "BOOK", "ERROR", "EVERYTHING", "RESULT", "CannotRestore", "CannotTravel", "Capture", "Delta", "NameReport", "Payload", "Ref",
    "RefBase", "RefInfo", "Replica", "StateError", "uses",
]  # fmt: skip
