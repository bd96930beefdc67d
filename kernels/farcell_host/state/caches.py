"""What an lru_cache wrapper has cached: read out of it, and put into another one without running the function.

The wrapper is C and shows its contents to the garbage collector only. It is filled by calling it while the function under
it has code that hands out the results. Contents that cannot travel stay where they are, as do those of a wrapper around
anything but a Python function.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import io
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

Wrapper = Any  # functools' own is not generic at run time
WRAPPER: type = functools._lru_cache_wrapper
Entry = tuple[tuple[Any, ...], dict[str, Any], Any]
_MOST_COUNTED = 1_000_000  # hits and misses beyond are not caught up with: each is a call
_OWN = ("__wrapped__", "cache_parameters")


def attributes(wrapper: Wrapper) -> dict[str, Any]:
    """Without an empty `__type_params__`, which `functools.update_wrapper` copies from Python 3.12 on."""
    named = {name: value for name, value in vars(wrapper).items() if name not in _OWN}
    if named.get("__type_params__") == ():
        del named["__type_params__"]
    return named


def lru_state(wrapper: Wrapper) -> tuple[Any, ...]:
    """(attributes, entries that can travel, hits, misses), the oldest entry first."""
    info = wrapper.cache_info()
    found = list(entries(wrapper)) if info.currsize and _can_be_filled(wrapper) else []
    return attributes(wrapper), _travelling(wrapper, found), info.hits, info.misses


def set_lru_state(wrapper: Wrapper, state: tuple[Any, ...]) -> None:
    """Entries of this side's own that cannot travel stay, unless the peer has cleared its cache."""
    names, found, hits, misses = state
    for name in attributes(wrapper).keys() - names.keys():
        delattr(wrapper, name)
    for name, value in names.items():
        setattr(wrapper, name, value)
    info = wrapper.cache_info()
    unused = not found and info.currsize == 0 and (info.hits, info.misses) == (hits, misses)
    if unused or not _can_be_filled(wrapper):
        return
    own: list[Entry] = []
    if misses and info.currsize:
        before = list(entries(wrapper))
        travelling = {id(entry) for entry in _travelling(wrapper, before)}
        own = [entry for entry in before if id(entry) not in travelling]
    fill(wrapper, [*own, *found], hits, misses)


def _can_be_filled(wrapper: Wrapper) -> bool:
    return type(getattr(wrapper, "__wrapped__", None)) is FunctionType


# -- reading -----------------------------------------------------------------------------------------------------------


@functools.cache
def _keyword_mark() -> object:
    """What stands in a key between positional and keyword arguments."""
    probe = functools.lru_cache()(lambda **_: None)
    probe(a=1)
    return next(iter(_cached(probe)))[0]


def _cached(wrapper: Wrapper) -> dict[Any, Any]:
    """The wrapper's own dict of the cached keys."""
    found = [each for each in gc.get_referents(wrapper) if type(each) is dict and each is not vars(wrapper)]
    size = wrapper.cache_info().currsize
    if wrapper.cache_parameters()["maxsize"] is not None:
        found = [each for each in found if all(type(value).__name__ == "_lru_list_elem" for value in each.values())]
    return next((each for each in found if len(each) == size), {})


def entries(wrapper: Wrapper) -> Iterator[Entry]:
    """(positional arguments, keyword arguments, result), the oldest first."""
    cached, parameters = _cached(wrapper), wrapper.cache_parameters()
    pairs = cached.items() if parameters["maxsize"] is None else _linked(wrapper, cached)
    for key, result in pairs:
        yield (*_arguments(key, parameters["typed"]), result)


def _linked(wrapper: Wrapper, cached: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Keys and results in the order of their use: the collector is shown each key with its result behind it."""
    keys = {id(key) for key in cached}
    shown = iter(gc.get_referents(wrapper))
    for each in shown:
        if id(each) in keys:
            keys.discard(id(each))
            yield each, next(shown)


def _arguments(key: Any, typed: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if type(key) is not tuple:
        return (key,), {}
    mark = _keyword_mark()
    at = next((index for index, part in enumerate(key) if part is mark), None)
    if at is None:
        return key[: len(key) // 2] if typed else key, {}
    count = (len(key) - 1 - 2 * at) // 3 if typed else (len(key) - 1 - at) // 2
    pairs = key[at + 1 : at + 1 + 2 * count]
    return key[:at], dict(zip(pairs[::2], pairs[1::2], strict=True))


_tried: set[int] = set()


def _travelling(wrapper: Wrapper, found: list[Entry]) -> list[Entry]:
    """Those that can be pickled; none when this wrapper is met again inside its own contents."""
    if not found or id(wrapper) in _tried:
        return []
    try:
        _tried.add(id(wrapper))
        return found if can_travel(found) else [entry for entry in found if can_travel(entry)]
    finally:
        _tried.discard(id(wrapper))


def can_travel(value: Any) -> bool:
    """Whether it can be pickled, found out by doing it."""
    from .pickler import StatePickler

    try:
        StatePickler(io.BytesIO(), {}).dump(value)
    except Exception:
        return False
    return True


# -- filling -----------------------------------------------------------------------------------------------------------


class _NoResult(Exception):
    """Counts as a miss and leaves nothing in the cache."""


class _Results:
    """What the function under the wrapper gives meanwhile."""

    def __init__(self) -> None:
        self.waiting: Iterator[Any] = iter(())

    def __next__(self) -> Any:
        for result in self.waiting:
            return result
        raise _NoResult


def fill(wrapper: Wrapper, found: list[Entry], hits: int, misses: int) -> None:
    """Instead of what it has cached; afterwards it counts as many hits and misses as these calls would have been."""
    wrapper.cache_clear()
    results = _Results()
    with _handing_out(wrapper.__wrapped__, results):
        for _ in range(min(misses - len(found), _MOST_COUNTED)):
            _call(wrapper, (object(),), {})
        results.waiting = iter([result for _, _, result in found])
        for positional, keywords, _ in found:
            _call(wrapper, positional, keywords)
        for _ in range(min(hits, _MOST_COUNTED) if found else 0):
            _call(wrapper, found[-1][0], found[-1][1])


def _call(wrapper: Wrapper, positional: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    with contextlib.suppress(_NoResult):
        wrapper(*positional, **keywords)


def _template(*_positional: Any, **_keywords: Any) -> Any:
    return "".__next__()  # type: ignore[attr-defined]  # the constant is replaced: no name of the function's is looked up


@contextlib.contextmanager
def _handing_out(function: Any, results: _Results) -> Iterator[None]:
    code: CodeType = _template.__code__
    constants = tuple(results if each == "" else each for each in code.co_consts)
    before = function.__code__
    try:
        function.__code__ = code.replace(co_consts=constants, co_freevars=before.co_freevars)
        yield
    finally:
        function.__code__ = before
