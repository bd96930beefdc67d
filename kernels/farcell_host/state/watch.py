"""What this side looked like when a request left: a merge compares with it, and so finds what both sides have changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_ABSENT = object()


@dataclass
class Watch:
    """`names` are those that the peer has as they were here then."""

    bindings: dict[str, Any]
    names: set[str] = field(default_factory=set)
    in_place: bool = True
    """Whether something here may have changed the objects themselves: while a run is waited for, only other threads may."""
    since_last: bool = False
    """Compare with the last exchange instead, whenever that was."""
    whole: bool = False
    """When anything was changed on both sides, nothing at all is merged."""

    def add(self, names: Iterable[str], namespace: dict[str, Any]) -> None:
        """The peer has just been given these as they are here."""
        for name in names:
            self.names.add(name)
            self.bindings[name] = dict.get(namespace, name, _ABSENT)

    def is_rebound(self, name: str, namespace: dict[str, Any]) -> bool:
        """Whether the name was bound, bound anew or deleted since."""
        return dict.get(namespace, name, _ABSENT) is not self.bindings.get(name, _ABSENT)
