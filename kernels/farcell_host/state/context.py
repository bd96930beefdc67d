"""Which Replica the functions named in pickles work for: set around every dump and load, one per thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Environment(Protocol):
    """What reducers and rebuilders need of a Replica."""

    namespace: dict[str, Any]
    magics: Any
    late: list[tuple[Any, Any]]
    """(new object, state) that its class could not be given yet: names that it uses are bound with the same payload."""
    met: list[tuple[dict[Any, Any], Any, Any]]
    """What decoding has added to the tables of classes of flags."""

    @property
    def side(self) -> str: ...

    def resolve(self, number: int) -> Any: ...

    def number_of(self, obj: object) -> int | None: ...

    def private_globals(self, own: dict[str, Any]) -> Any: ...


_local = threading.local()


def current() -> Environment:
    """The Replica at work in this thread."""
    environment: Environment | None = getattr(_local, "environment", None)
    if environment is None:
        raise RuntimeError("farcell state can be unpickled by a Replica only")
    return environment


@contextmanager
def working(environment: Environment) -> Iterator[None]:
    before = getattr(_local, "environment", None)
    _local.environment = environment
    try:
        yield
    finally:
        _local.environment = before


@contextmanager
def collector_paused() -> Iterator[None]:
    """Millions of new tuples in a memo's copy make the cyclic collector run again and again: measured, half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
