"""Which modules are imported. What a cell imports first elsewhere had been imported in the notebook that knows no targets.

Some packages draw random numbers when they are imported (rich does), and many import such a one. What the peer has imported
already is therefore imported here without drawing any, see Ambient.
"""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider
from .watch import Watch

_STANDARD = frozenset((*sys.stdlib_module_names, "__main__", "farcell", "farcell_host"))


class Imported(Provider):
    name = "imported modules"

    def __init__(self) -> None:
        self.by_peer: set[str] = set()
        """Full names, of those that the peer has told of."""

    def watch(self) -> Watch:
        watch = Watch()
        watch.dict(sys.modules)
        return watch

    def stamp(self) -> Any:
        return frozenset(name for name in list(sys.modules) if name.partition(".")[0] not in _STANDARD)

    def take(self) -> Any:
        return self.take_since(frozenset())

    def take_since(self, stamp: Any) -> Any:
        return "\n".join(sorted(self.stamp() - stamp - self.by_peer))

    def take_under(self, content: Any) -> Any:
        return ""

    def put(self, content: Any) -> None:
        self.by_peer.update(content.split("\n"))
