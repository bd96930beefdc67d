"""Which threads of a kernel may run the notebook's own code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable

_OF_KERNELS = frozenset({
    "IPython", "_pydevd_bundle", "anyio", "debugpy", "farcell", "farcell_host", "ipykernel", "jupyter_client", "pydevd",
    "tornado", "zmq",
})  # fmt: skip


def users(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Those whose class is the notebook's own or the standard library's, and that do not work for the kernel itself.

    Workers of a pool that have nothing to do are left out: who gives them work counts. Threads of a package's own class (a
    progress bar's monitor) leave the notebook's values alone.
    """
    return [thread for thread in threads if thread is not threading.main_thread() and _may_be_the_users(thread)]


def _may_be_the_users(thread: threading.Thread) -> bool:
    package = _package(type(thread))
    if thread.name.startswith("farcell") or not (package == "__main__" or package in sys.stdlib_module_names):
        return False
    target = getattr(thread, "_target", None)
    if _is_idle(thread, target):
        return False
    owner = getattr(target, "__self__", None)
    return _package(target) not in _OF_KERNELS and (owner is None or _package(type(owner)) not in _OF_KERNELS)


def _is_idle(thread: threading.Thread, target: object) -> bool:
    """Whether it is a ThreadPoolExecutor's, all of whose workers wait; where that cannot be seen it is taken to work."""
    pools = sys.modules.get("concurrent.futures.thread")
    if pools is None or target is not getattr(pools, "_worker", None):
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
