"""Walk names: dump each once, and add the names that notebook functions met in values use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, ModuleType
from typing import Any

from .dumps import Part, Print, dump_name
from .errors import CannotTravel
from .refusals import Refused, narrow, path_to, reason_of
from .uses import EVERYTHING

_OF_IPYTHON = frozenset({"get_ipython", "exit", "quit", "In", "Out", "open", "_", "__", "___", "_i", "_ii", "_iii"})
_NUMBERED = re.compile(r"_i?\d+$|_[ido]h$|__\w+__$")


def is_of_ipython(name: str) -> bool:
    """Names that every kernel has of its own: they never travel by being used in a function."""
    return name in _OF_IPYTHON or bool(_NUMBERED.match(name))


def dump_or_refuse(name: str, value: Any, reason: str, kept: dict[int, int]) -> Part:
    """Pass 1; what cannot be dumped becomes CannotTravel with the path that leads to it."""
    if isinstance(value, ModuleType):
        return Part(name, value, reason, Print(f"module {value.__name__}".encode(), (), ()))
    try:
        return dump_name(name, value, reason, kept)
    except Refused as refused:
        path = path_to(value, name, refused.culprit)
        raise CannotTravel(name, path, refused.reason, refused.hint) from None
    except Exception as error:
        path, culprit, inner = narrow(value, name, lambda part: _failure(part, kept))
        raise CannotTravel(name, path, reason_of(inner or error, culprit)) from error


def _failure(value: Any, kept: dict[int, int]) -> BaseException | None:
    try:
        dump_name("", value, "", kept)
    except Exception as error:
        return error
    return None


class Walk:
    """A worklist of names."""

    def __init__(self, namespace: dict[str, Any], kept: dict[int, int], uses: Callable[[CodeType], Iterable[str]]) -> None:
        self._namespace, self._kept, self._uses = namespace, kept, uses
        self._reasons: dict[str, str] = {}
        self._optional: set[str] = set()
        self._waiting: list[str] = []
        self.missing: list[str] = []

    def add(self, name: str, reason: str, optional: bool = False) -> None:
        """An optional name that cannot travel is left out; it is asked for again when it was needed after all."""
        if name in self._reasons:
            return
        if optional:
            self._optional.add(name)
        self._reasons[name] = reason
        if name in self._namespace:
            self._waiting.append(name)
        else:
            self.missing.append(name)

    def parts(self) -> Iterator[tuple[str, Part]]:
        while self._waiting:
            name = self._waiting.pop(0)
            try:
                part = dump_or_refuse(name, dict.__getitem__(self._namespace, name), self._reasons[name], self._kept)
            except CannotTravel:
                if name in self._optional:
                    continue
                raise
            yield name, part
            for code in part.codes:
                self._follow(code)

    def _follow(self, code: CodeType) -> None:
        used = _uses_of(code, self._uses)
        if EVERYTHING in used:
            used = frozenset(self._namespace)
        for name in sorted(name for name in used if name in self._namespace):
            if not is_of_ipython(name):
                self.add(name, f"used by {code.co_name}")


_USES: dict[tuple[int, int], tuple[CodeType, frozenset[str]]] = {}


def _uses_of(code: CodeType, uses: Callable[[CodeType], Iterable[str]]) -> frozenset[str]:
    key = (id(code), id(uses))
    if key not in _USES:
        _USES[key] = (code, frozenset(uses(code)))
    return _USES[key][1]
