"""Levels of loggers; handlers, filters and formatters are each side's own."""

from __future__ import annotations

import logging
from typing import Any

from .provider import Provider

_OWN = frozenset({"traitlets", "IPKernelApp", "asyncio", "tornado", "farcell", "Comm"})


class Loggers(Provider):
    name = "logger levels"

    def take(self) -> Any:
        manager = logging.root.manager
        levels = {
            name: logger.level
            for name, logger in list(manager.loggerDict.items())
            if isinstance(logger, logging.Logger) and logger.level and name not in _OWN
        }
        return manager.disable, logging.root.level, levels

    def put(self, content: Any) -> None:
        disable, root, levels = content
        for name in self.take()[2].keys() - levels.keys():
            logging.getLogger(name).setLevel(logging.NOTSET)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        logging.root.setLevel(root)
        logging.disable(disable)
