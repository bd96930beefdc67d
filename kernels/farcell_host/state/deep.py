"""Graphs nested deeper than Python's recursion limit: pickle recurses for each step, so they are dumped on a thread with a
large stack.

Up to Python 3.11 pickle counts against the recursion limit, which is raised meanwhile; from 3.12 on it has a limit of its own, of
some thousand steps, that nothing raises.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from . import context

T = TypeVar("T")
_STACK_BYTES = 512 << 20
"""Reserved, not used: a step takes a few KiB of it, also where code of the notebook takes part in it."""
_LIMIT = 30_000
_lock = threading.Lock()


def is_too_deep(error: BaseException) -> bool:
    """Whether the recursion limit ended a dump, which cloudpickle says in its own way."""
    return isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)


def deeply(work: Callable[[], T]) -> T:
    """`work`, for the same Replica, where there is room for deep recursion; raises what it raises."""
    environment = context.current()
    outcome: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with context.working(environment):
                outcome.append(work())
        except BaseException as error:
            errors.append(error)

    with _lock:
        limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
        try:
            thread = threading.Thread(target=run, name="farcell-deep", daemon=True)
            sys.setrecursionlimit(max(limit, _LIMIT))
            thread.start()
            threading.stack_size(size)
            thread.join()
        finally:
            sys.setrecursionlimit(limit)
            threading.stack_size(size)
    if errors:
        raise errors[0]
    return outcome[0]
