"""What the notebook has set of loggers: levels, which are disabled, and which hand on to their parents.

Their handlers and filters travel as lists of values (`state/loggers.py`); which of them do is found out here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from .provider import Provider
from .watch import Watch

log = logging.getLogger("farcell")

_OWN = frozenset({"traitlets", "IPKernelApp", "RemoteKernelApp", "asyncio", "tornado", "farcell", "Comm"})
_TRAVEL = frozenset({"logging", "logging.handlers", "__main__"})
_PRISTINE = (logging.NOTSET, True, False)


class Loggers(Provider):
    name = "loggers"

    def __init__(self) -> None:
        self.lists: tuple[str, ...] = ()
        """As of the last look: `<handlers LOGGER>` and `<filters LOGGER>` of those that have any."""
        self._told: set[str] = set()

    def watch(self) -> Watch:
        watch = Watch()
        watch.dict(vars(logging))  # whether it captures warnings
        watch.dict(_level_names())
        watch.dict(logging.root.manager.loggerDict)
        watch.attributes(logging.root.manager)
        for logger in _loggers():
            watch.attributes(logger)
            if not _is_of_package(logger):
                watch.list(logger.handlers)
                watch.list(logger.filters)
        watch.see()
        self.lists = tuple(self._find_lists())
        return watch

    def take(self) -> Any:
        states = {each.name: (each.level, each.propagate, each.disabled) for each in _loggers()}
        return {
            "disable": logging.root.manager.disable,
            "names": _level_names().copy(),
            "captures warnings": logging._warnings_showwarning is not None,  # type: ignore[attr-defined]
            "loggers": {name: state for name, state in states.items() if state != _PRISTINE},
        }

    def put(self, content: Any) -> None:
        for level, name in content["names"].items():
            if _level_names().get(level) != name:
                logging.addLevelName(level, name)
        here = self.take()
        for name in {**here["loggers"], **content["loggers"]}:
            logger = logging.getLogger(name)
            level, logger.propagate, logger.disabled = content["loggers"].get(name, _PRISTINE)
            logger.setLevel(level)
        if content["captures warnings"] != here["captures warnings"]:
            logging.captureWarnings(content["captures warnings"])
        logging.disable(content["disable"])

    def stays(self, name: str, why: Any) -> None:
        """Tells once that a list does not go along."""
        if name not in self._told:
            self._told.add(name)
            log.warning("All %s stay on their side: %s cannot travel", name.strip("<>").replace(" ", " of logger ", 1), why)

    def _find_lists(self) -> Iterator[str]:
        for logger in _loggers():
            if not _is_of_package(logger):
                for kind in ("handlers", "filters"):
                    content = getattr(logger, kind)
                    foreign = next((each for each in content if not _travels(each)), None)
                    if foreign is not None:
                        self.stays(f"<{kind} {logger.name}>", repr(foreign))
                    elif content:
                        yield f"<{kind} {logger.name}>"


def _loggers() -> Iterator[logging.Logger]:
    """All but those of the kernel itself, whose application has one under the name of its class."""
    kind: Any = getattr(sys.modules.get("traitlets.config.application"), "Application", None)
    application = type(kind.instance()).__name__ if kind is not None and kind.initialized() else ""
    yield logging.root
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name not in _OWN and name != application:
            yield logger


def _level_names() -> dict[int, str]:
    return logging._levelToName


def _is_of_package(logger: logging.Logger) -> bool:
    """It is set up where that is imported, on either side."""
    package = logger.name.partition(".")[0]
    return logger is not logging.root and package != "__main__" and package in sys.modules


def _travels(each: Any) -> bool:
    """Whether the other side has its class, or the function that it is."""
    return all(
        getattr(part, "__module__", None) in _TRAVEL for part in (each, getattr(each, "formatter", None)) if part is not None
    )
