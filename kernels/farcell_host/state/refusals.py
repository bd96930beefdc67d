"""Values that must not travel: recognised, named by their access path, explained.

Open files, widgets and progress bars pickle without complaint and arrive as something else, so these are recognised
by type. What fails to
pickle by itself is found by trying its parts one by one.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

_MAKE_HINT = "Make it inside the remote cell"
_LOCAL_HINT = "Close it, make it inside the remote cell, or read it in a local cell"
_GENERATOR_HINT = "Turn it into a list first, or make it inside the remote cell"

_REFUSED: dict[tuple[str, str], tuple[str, str]] = {
    ("_io", "_IOBase"): ("an open file", _LOCAL_HINT),
    ("socket", "socket"): ("a socket", _LOCAL_HINT),
    ("_thread", "lock"): ("a lock", _MAKE_HINT),
    ("_thread", "RLock"): ("a lock", _MAKE_HINT),
    ("threading", "Thread"): ("a thread", "Start it inside the remote cell"),
    ("threading", "Condition"): ("a lock", _MAKE_HINT),
    ("threading", "Event"): ("a threading.Event", _MAKE_HINT),
    ("threading", "Semaphore"): ("a lock", _MAKE_HINT),
    ("_thread", "_local"): ("a threading.local", _MAKE_HINT),
    ("builtins", "generator"): ("a generator", _GENERATOR_HINT),
    ("builtins", "coroutine"): ("a coroutine", "Await it first, or make it inside the remote cell"),
    ("builtins", "async_generator"): ("an async generator", _GENERATOR_HINT),
    ("builtins", "frame"): ("a frame", ""),
    ("builtins", "traceback"): ("a traceback", ""),
    ("_asyncio", "Future"): ("an asyncio future", "Await it first, and pass what it gives"),
    ("asyncio.futures", "Future"): ("an asyncio future", "Await it first, and pass what it gives"),
    ("concurrent.futures._base", "Future"): ("a future", "Take its result() first"),
    ("concurrent.futures._base", "Executor"): ("an executor", _MAKE_HINT),
    ("multiprocessing.pool", "Pool"): ("a process pool", _MAKE_HINT),
    ("sqlite3", "Connection"): ("a database connection", "Connect inside the remote cell"),
    ("sqlite3", "Cursor"): ("a database cursor", "Fetch its rows first, or connect inside the remote cell"),
    ("subprocess", "Popen"): ("a running process", "Start it inside the remote cell"),
    ("tqdm.std", "tqdm"): ("a progress bar", _MAKE_HINT),
    ("ipywidgets.widgets.widget", "Widget"): ("a widget", "Pass its value instead"),
    ("weakref", "finalize"): ("a finalizer", _MAKE_HINT),
    ("_contextvars", "ContextVar"): ("a context variable", ""),
    ("_contextvars", "Context"): ("a context", ""),
    ("builtins", "memoryview"): ("a memoryview", "Pass the object it looks at instead"),
    ("_csv", "reader"): ("a csv reader", "Read its rows into a list first"),
    ("mmap", "mmap"): ("a memory map", "Open it inside the remote cell"),
    ("select", "epoll"): ("an open poll object", ""),
    ("posix", "ScandirIterator"): ("an open folder", _GENERATOR_HINT),
    ("_csv", "writer"): ("a csv writer", _MAKE_HINT),
    ("_queue", "SimpleQueue"): ("a SimpleQueue", _MAKE_HINT),
    ("multiprocessing.queues", "Queue"): ("a queue between processes", _MAKE_HINT),
    ("multiprocessing.queues", "SimpleQueue"): ("a queue between processes", _MAKE_HINT),
    ("multiprocessing.connection", "_ConnectionBase"): ("a pipe", _MAKE_HINT),
    ("multiprocessing.synchronize", "SemLock"): ("a lock", _MAKE_HINT),
    ("multiprocessing.sharedctypes", "SynchronizedBase"): ("a value shared between processes", "Pass its value instead"),
    ("multiprocessing.process", "BaseProcess"): ("a running process", "Start it inside the remote cell"),
    ("asyncio.events", "AbstractEventLoop"): ("an event loop", _MAKE_HINT),
    ("ctypes", "CDLL"): ("a C library", "Load it inside the remote cell"),
    ("_ctypes", "CFuncPtr"): ("a C function", "Load its library inside the remote cell"),
    ("_ctypes", "_Pointer"): ("a C pointer", "Pass what it points to instead"),
    ("_ssl", "_SSLContext"): ("an SSL context", _MAKE_HINT),
    ("_hashlib", "HASH"): ("a hash object", "Take its digest() first, or make it inside the remote cell"),
    ("zlib", "Compress"): ("a compressor", _MAKE_HINT),
    ("zlib", "Decompress"): ("a compressor", _MAKE_HINT),
}
# In-memory streams are data, not open files.
_MOST_STEPS = 50
_IN_MEMORY = frozenset({("_io", "StringIO"), ("_io", "BytesIO")})


class Refused(Exception):
    """Raised inside a dump: this object must not travel."""

    def __init__(self, culprit: object, reason: str, hint: str) -> None:
        self.culprit, self.reason, self.hint = culprit, reason, hint
        super().__init__(reason)


def refusal(kind: type) -> tuple[str, str] | None:
    """Why values of this type cannot travel, and what to do; None when they can."""
    names = [(each.__module__, each.__name__) for each in kind.__mro__]
    if not _IN_MEMORY.isdisjoint(names):
        return None
    return next((_REFUSED[name] for name in names if name in _REFUSED), None)


def _dict_parts(value: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, part in list(value.items()):
        yield f"[{key!r}]", part
        yield f".key({key!r:.40})", key


def _function_parts(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f".<{name}>", cell.cell_contents
        except ValueError:
            continue
    for index, default in enumerate(function.__defaults__ or ()):
        yield f".__defaults__[{index}]", default
    for name, default in (function.__kwdefaults__ or {}).items():
        yield f".__kwdefaults__[{name!r}]", default
    for name, part in vars(function).items():
        yield f".{name}", part


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts a value is made of, each with the text that leads to it."""
    if isinstance(value, dict):
        yield from _dict_parts(value)
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", part) for index, part in enumerate(list(value)))
    elif isinstance(value, (set, frozenset)):
        yield from (("{...}", part) for part in list(value))
    elif type(value).__name__ == "deque":
        yield from ((f"[{index}]", part) for index, part in enumerate(list(value)))
    if isinstance(value, types.FunctionType):
        yield from _function_parts(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, weakref.ref):
        yield "()", value()
    elif isinstance(value, type):
        if value.__module__ == "__main__":
            yield from ((f".{name}", part) for name, part in list(vars(value).items()))
    else:
        yield from _attribute_parts(value)


def _attribute_parts(value: Any) -> Iterator[tuple[str, Any]]:
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        attributes = {}
    if isinstance(value, types.ModuleType):
        return
    yield from ((f".{name}", part) for name, part in list(attributes.items()))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name) and name not in ("__dict__", "__weakref__"):
                yield f".{name}", getattr(value, name)
    if type(value).__name__ == "partial":
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords


def path_to(root: Any, name: str, culprit: object) -> str:
    """How the notebook gets from `name` to `culprit`: `model.cfg['log'].stream`."""
    seen = {id(root)}
    layer: list[tuple[str, Any]] = [(name, root)]
    while layer:
        following: list[tuple[str, Any]] = []
        for path, value in layer:
            if value is culprit:
                return path
            for step, part in parts(value):
                if id(part) not in seen:
                    seen.add(id(part))
                    following.append((path + step, part))
        layer = following
    return name


def narrow(root: Any, name: str, fails: Callable[[Any], BaseException | None]) -> tuple[str, Any, BaseException | None]:
    """The deepest part of `root` that fails, its path and its error; of what is nested without end, not to the end: each step
    dumps all that is left."""
    path, value, error = name, root, None
    seen = {id(root)}
    for _ in range(_MOST_STEPS):
        descending = False
        for step, part in parts(value):
            if id(part) in seen or isinstance(part, (str, bytes, int, float, type(None))):
                continue
            seen.add(id(part))
            failure = fails(part)
            if failure is not None:
                path, value, error, descending = path + step, part, failure, True
                break
        if not descending:
            break
    return path, value, error


def reason_of(error: BaseException, value: Any) -> str:
    """An error of pickling, in the notebook's words."""
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return f"a {type(value).__name__} nested too deeply (recursion limit {sys.getrecursionlimit()})"
    text = str(error) or type(error).__name__
    return f"a {type(value).__name__} that cannot be pickled ({text[:200]})"
