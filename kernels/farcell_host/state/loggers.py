"""Handlers and filters of loggers, by `<handlers LOGGER>` and `<filters LOGGER>`: lists like those of variables."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

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
