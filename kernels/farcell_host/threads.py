"""Which threads of a kernel may run the notebook's own code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from weakref import WeakSet

_OF_KERNELS = frozenset({
    "IPython", "_pydevd_bundle", "anyio", "debugpy", "farcell", "farcell_host", "ipykernel", "jupyter_client", "pydevd",
    "tornado", "zmq",
})  # fmt: skip


_others: WeakSet[threading.Thread] = WeakSet()
"""Threads that were found to be nobody's of the notebook: this is asked twice a run."""


def users(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Those whose class is the notebook's own or the standard library's, and that do not work for the kernel itself.

    Workers of a pool that have nothing to do are left out: who gives them work counts. Threads of a package's own class (a
    progress bar's monitor) leave the notebook's values alone.
    """
    found = []
    for thread in threads:
        if thread in _others:
            continue
        if thread is threading.main_thread() or not _may_be_the_users(thread):
            _others.add(thread)
        elif not _is_idle(thread):
            found.append(thread)
    return found


def _may_be_the_users(thread: threading.Thread) -> bool:
    package = _package(type(thread))
    if thread.name.startswith("farcell") or not (package == "__main__" or package in sys.stdlib_module_names):
        return False
    target = getattr(thread, "_target", None)
    owner = getattr(target, "__self__", None)
    return _package(target) not in _OF_KERNELS and (owner is None or _package(type(owner)) not in _OF_KERNELS)


def _is_idle(thread: threading.Thread) -> bool:
    """Whether it is a ThreadPoolExecutor's, all of whose workers wait; where that cannot be seen it is taken to work."""
    pools = sys.modules.get("concurrent.futures.thread")
    if pools is None or getattr(thread, "_target", None) is not getattr(pools, "_worker", _others):
        return False
    try:
        executor = thread._args[0]()  # type: ignore[attr-defined]
        return executor is None or bool(
            executor._work_queue.empty() and executor._idle_semaphore._value >= len(executor._threads)
        )
    except (AttributeError, IndexError, TypeError):
        return False


def _package(obj: object) -> str:
    return str(getattr(obj, "__module__", "")).partition(".")[0]
