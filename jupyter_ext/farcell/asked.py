"""A run as it is asked for, and as it is ready to go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from farcell_host.filetree import Entry
from farcell_host.state.payload import Capture, Payload
from farcell_host.state.watch import Watch

from . import files
from .exchange import PlanRow

Names = Mapping[str, str] | Iterable[str]


@dataclass(frozen=True)
class Asked:
    """A run as it was asked for; `why` and `also` are names that must travel and that go along if they can, with the reasons."""

    code: str
    why: dict[str, str]
    also: dict[str, str]
    imports: tuple[str, ...]
    files: list[Entry]
    out: tuple[str, ...]
    keep: tuple[str, ...]
    yes: bool

    @classmethod
    def of(
        cls,
        code: str,
        names: Names,
        *,
        optional: Names = (),
        imports: Iterable[str] = (),
        send_files: Iterable[str] = (),
        out: Iterable[str] = (),
        keep: Iterable[str] = (),
        yes: bool = False,
    ) -> Asked:
        return cls(
            code,
            reasons_of(names),
            reasons_of(optional),
            tuple(imports),
            files.matching(send_files),
            tuple(out),
            tuple(keep),
            yes,
        )


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to go."""

    capture: Capture
    payload: Payload
    content: dict[str, Any]
    watch: Watch
    count: int
    """The number of its cell."""
    rows: tuple[PlanRow, ...]


def reasons_of(names: Names) -> dict[str, str]:
    return dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, "")
