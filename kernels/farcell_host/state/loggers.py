"""Handlers and filters of loggers, by `<handlers LOGGER>` and `<filters LOGGER>`: lists like those of variables."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..ambient.watch import Watch
from .fixed import ATOMS
from .handlers import OF_SIDE, STREAMS
from .patches import PATCHES

if TYPE_CHECKING:
    from .dumps import Part

_PLAIN = frozenset({
    logging.StreamHandler, logging.NullHandler, logging.Filter, logging.Formatter, logging.PercentStyle, logging.StrFormatStyle,
})  # fmt: skip
_PREFIXES = ("<handlers ", "<filters ")


def is_list(name: str) -> bool:
    return name.startswith(_PREFIXES)


class LoggerLists:
    """Any logger has them; what binds one gives the logger another list."""

    def __contains__(self, name: str) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return getattr(*_place(name))

    def bind(self, name: str, value: Any) -> None:
        setattr(*_place(name), value)

    def unbind(self, name: str) -> None:
        self.bind(name, [])

    def restorer(self, name: str) -> Callable[[], None]:
        before = self[name]
        return lambda: self.bind(name, before)


def _place(name: str) -> tuple[logging.Logger, str]:
    kind, _, logger = name[1:-1].partition(" ")
    return logging.getLogger(None if logger == "root" else logger), kind


class Looks:
    """Lists as they were found, for as long as nothing has changed that is written of them: they are a part of every exchange,
    since libraries fill some of their own."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[Any], Watch, Part]] = {}

    def part(self, name: str, content: list[Any], kept: Mapping[int, int], dump: Callable[[], Part]) -> Part:
        """What `dump` gives, or gave; raises what it raises. `kept`: by id, what goes as a number."""
        known = self._found.get(name)
        if known is not None and known[0] is content and known[1].is_same and _goes_whole(known[2], kept):
            return known[2]
        watch = watch_of(content)  # before: a change meanwhile is seen the next time
        part = dump()
        if watch is not None and _goes_whole(part, kept):
            self._found[name] = content, watch, part
        return part


def _goes_whole(part: Part, kept: Mapping[int, int]) -> bool:
    return not PATCHES.is_used and (not kept or kept.keys().isdisjoint(part.print.ids))


def watch_of(content: list[Any]) -> Watch | None:
    """Sees all that is written of handlers, formatters and filters of logging's own classes; None where there are others."""
    watch = Watch(*(partial(vars(sys).get, name) for name in STREAMS))
    waiting: list[Any] = [content]
    seen: set[int] = set()
    while waiting:
        obj = waiting.pop()
        kind: Any = type(obj)
        if kind in ATOMS or id(obj) in seen:
            continue
        seen.add(id(obj))
        if kind is list:
            watch.list(obj)
            waiting += obj
        elif kind in _PLAIN:
            watch.attributes(obj)
            watch.keep(obj)
            waiting += [value for name, value in vars(obj).items() if name not in OF_SIDE]
        else:
            return None
    return watch.see()
