"""Levels of loggers, which are disabled, and which hand on to their parents."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from .provider import Provider
from .watch import Watch

_OWN = frozenset({"traitlets", "IPKernelApp", "asyncio", "tornado", "farcell", "Comm"})


class Loggers(Provider):
    name = "loggers"

    def watch(self) -> Watch:
        watch = Watch()
        watch.dict(logging.root.manager.loggerDict)
        watch.attributes(logging.root.manager)
        for logger in _loggers():
            watch.attributes(logger)
        return watch

    def take(self) -> Any:
        found = {each.name: (each.level, each.propagate, each.disabled) for each in _loggers()}
        return logging.root.manager.disable, {name: state for name, state in found.items() if state != _PRISTINE}

    def put(self, content: Any) -> None:
        disable, states = content
        for name in {**self.take()[1], **states}:
            logger = logging.getLogger(name)
            level, logger.propagate, logger.disabled = states.get(name, _PRISTINE)
            logger.setLevel(level)
        logging.disable(disable)


_PRISTINE = (logging.NOTSET, True, False)


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name not in _OWN:
            yield logger
