"""The shapes in which state goes from one side to the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .placeholders import DELETED

RESULT = "<result>"
ERROR = "<error>"
LOST = "<lost>"
"""Objects that a run changed and took away from the names it was given."""
AMBIENT = "<ambient>"
"""State around the names: content by provider, see farcell_host.ambient."""
PSEUDO_NAMES = frozenset({RESULT, ERROR, LOST, AMBIENT})

LARGE_BYTES = 64 * 1024
"""Buffers from this size on leave the pickle and are not copied."""

BULK_BYTES = 256 * 1024
"""Buffers from this size on are the transport's bulk (docs/architecture.md, section 1)."""


@dataclass
class Payload:
    """One exchange: a JSON-able header, small buffers (pickles among them) and large ones."""

    header: dict[str, Any]
    buffers: list[Any] = field(default_factory=list)
    bulk: list[Any] = field(default_factory=list)
    receipt: Any = None
    """What the sender remembers once the peer has it; never leaves the process."""

    @property
    def is_empty(self) -> bool:
        """Nothing for the peer to do."""
        return "pins" not in self.header and not any(self.header.get(key) for key in HEADER_PARTS)

    @property
    def total_bytes(self) -> int:
        return sum(memoryview(b).nbytes for b in (*self.buffers, *self.bulk))

    def place(self, data: Any) -> list[Any]:
        """Add a buffer; the answer is how the header refers to it."""
        is_bulk = memoryview(data).nbytes >= BULK_BYTES
        room = self.bulk if is_bulk else self.buffers
        room.append(data)
        return ["bulk" if is_bulk else "buffers", len(room) - 1]

    def find(self, place: list[Any]) -> Any:
        """The buffer the header refers to."""
        kind, index = place
        return (self.bulk if kind == "bulk" else self.buffers)[index]


HEADER_PARTS = ("streams", "modules", "bind", "refs", "sources", "deleted", "dropped", "forget")


@dataclass
class NameReport:
    """What a plan says of one name."""

    name: str
    reason: str
    status: str
    """"new", "changed", "unchanged", "ref" or "stays" (kept on the target as a ref)."""
    type: str
    size_bytes: int
    bytes_to_send: int


@dataclass
class Capture:
    """Names, walked and compared with the last exchange; `pack` turns it into a Payload."""

    names: dict[str, NameReport]
    parts: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Names asked for that the namespace does not have."""
    deleted: list[str] = field(default_factory=list)
    refs: dict[str, Any] = field(default_factory=dict)
    stamps: dict[str, Any] = field(default_factory=dict)
    """Of the ambient state that goes along."""

    modules: set[str] = field(default_factory=set)
    """Modules of the notebook's own that the peer has not been introduced to, or has in another version."""

    is_still: bool = False
    """No thread of the notebook's was at work when it was begun."""

    is_data: bool = False
    """For a notebook that takes data alone (`plain.py`)."""

    @property
    def given(self) -> set[str]:
        """Names that the peer has as they are here, then: not those that its cell only deletes, which go without their values."""
        return {name for name, part in self.parts.items() if part.reason != DELETED}

    @property
    def total_bytes(self) -> int:
        """Bytes that this exchange would send, before chunk deduplication."""
        return sum(report.bytes_to_send for report in self)

    def __iter__(self) -> Iterator[NameReport]:
        return iter(self.names.values())
