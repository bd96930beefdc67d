"""What the notebook has set of loggers: levels, whether they are disabled and hand on, handlers and filters.

Handlers and formatters of packages' own classes stay where they are, for the other side may not have them, and so do handlers
that cannot travel. The other side's handler that writes to the same place takes over what one is set to.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .provider import Provider
from .watch import Watch

log = logging.getLogger("farcell")

_OWN = frozenset({"traitlets", "IPKernelApp", "asyncio", "tornado", "farcell", "Comm"})
_TRAVEL = frozenset({"logging", "logging.handlers", "__main__"})
_PRISTINE: dict[str, Any] = {"level": logging.NOTSET, "propagate": True, "disabled": False, "handlers": [], "filters": []}


class Loggers(Provider):
    name = "loggers"

    def __init__(self) -> None:
        self._staying: set[int] = set()
        """Handlers that were told to stay here, by id."""

    def watch(self) -> Watch:
        watch = Watch()
        watch.dict(vars(logging))  # whether it captures warnings
        watch.dict(_level_names())
        watch.dict(logging.root.manager.loggerDict)
        watch.attributes(logging.root.manager)
        for logger in _loggers():
            watch.attributes(logger)
            watch.list(logger.handlers)
            watch.list(logger.filters)
            for handler in logger.handlers:
                watch.attributes(handler)
                watch.list(handler.filters)
                if handler.formatter is not None:
                    watch.attributes(handler.formatter)
        return watch

    def stamp(self) -> Any:
        content = self.take()
        for state in content["loggers"].values():
            state["handlers"] = [_seen(handler) for handler in state["handlers"]]
        return content

    def take(self) -> Any:
        states = {logger.name: _state_of(logger) for logger in _loggers()}
        return {
            "disable": logging.root.manager.disable,
            "names": _level_names().copy(),
            "captures warnings": logging._warnings_showwarning is not None,  # type: ignore[attr-defined]
            "loggers": {name: state for name, state in states.items() if state != _PRISTINE},
            "packages": sorted({name.partition(".")[0] for name in states} & sys.modules.keys()),
        }

    def without(self, content: Any, can_travel: Callable[[Any], bool]) -> Any:
        loggers = {}
        for name, state in content["loggers"].items():
            left = {kind: [each for each in state[kind] if can_travel(each)] for kind in ("handlers", "filters")}
            for handler in state["handlers"]:
                if handler not in left["handlers"] and id(handler) not in self._staying:
                    self._staying.add(id(handler))
                    log.warning("%r of logger %r stays on its side: it cannot travel", handler, name)
            loggers[name] = {**state, **left}
        return {**content, "loggers": loggers}

    def take_under(self, content: Any) -> Any:
        content = self.take()
        handlers = [each for state in content["loggers"].values() for each in state["handlers"]]
        return {**content, "were": [(each, vars(each).copy()) for each in handlers]}

    def put(self, content: Any) -> None:
        for handler, attributes in content.get("were", ()):
            vars(handler).update(attributes)
        for level, name in content["names"].items():
            if _level_names().get(level) != name:
                logging.addLevelName(level, name)
        here = self.take()
        for name in {**here["loggers"], **content["loggers"]}:
            told = content["loggers"].get(name, _PRISTINE)
            # A package that is yet to be imported here will make its loggers' handlers itself.
            makes = name.partition(".")[0] in content["packages"] and name.partition(".")[0] not in sys.modules
            _set(logging.getLogger(name), {**told, "handlers": []} if makes else told)
        if content["captures warnings"] != here["captures warnings"]:
            logging.captureWarnings(content["captures warnings"])
        logging.disable(content["disable"])


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name not in _OWN:
            yield logger


def _level_names() -> dict[int, str]:
    return logging._levelToName


def _state_of(logger: logging.Logger) -> dict[str, Any]:
    return {
        "level": logger.level,
        "propagate": logger.propagate,
        "disabled": logger.disabled,
        "handlers": [each for each in logger.handlers if _travels(each)],
        "filters": [each for each in logger.filters if _is_known(each)],
    }


def _travels(handler: logging.Handler) -> bool:
    return _is_known(handler) and all(_is_known(each) for each in (handler.formatter, *handler.filters) if each is not None)


def _is_known(obj: Any) -> bool:
    """Whether any side has its class, or the function that it is."""
    return getattr(obj, "__module__", None) in _TRAVEL


def _set(logger: logging.Logger, state: dict[str, Any]) -> None:
    logger.propagate, logger.disabled = state["propagate"], state["disabled"]
    logger.setLevel(state["level"])
    logger.filters[:] = [*state["filters"], *(each for each in logger.filters if not _is_known(each))]
    left = [each for each in logger.handlers if _travels(each)]
    handlers = [_taken_over(each, left) for each in state["handlers"]]
    logger.handlers[:] = [*handlers, *(each for each in logger.handlers if not _travels(each))]


def _taken_over(told: logging.Handler, left: list[logging.Handler]) -> logging.Handler:
    """The handler here that does what `told` does there, which is taken out of `left`; else itself."""
    found = next((each for each in left if each is told), None) or next(
        (each for each in left if _place(each) == _place(told)), None
    )
    if found is None:
        return told
    left.remove(found)
    if found is not told:
        attributes = {name: value for name, value in vars(told).items() if name not in ("lock", "stream")}
        if _is_alike(found.formatter, told.formatter):
            del attributes["formatter"]
        vars(found).update(attributes)
        told.close()
    return found


def _is_alike(one: logging.Formatter | None, other: logging.Formatter | None) -> bool:
    keys = ("_fmt", "datefmt")
    return type(one) is type(other) and all(getattr(one, key, None) == getattr(other, key, None) for key in keys)


def _place(handler: logging.Handler) -> Any:
    stream = vars(handler).get("stream")
    return type(handler), vars(handler).get("baseFilename", stream)


class _Same:
    """Equal to the same object only: what is in it may not be compared."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._obj is other._obj

    __hash__ = None  # type: ignore[assignment]


def _seen(handler: logging.Handler) -> Any:
    attributes = {name: _Same(value) for name, value in vars(handler).items()}
    formatter = {name: _Same(value) for name, value in vars(handler.formatter).items()} if handler.formatter is not None else {}
    return _Same(handler), attributes, handler.filters.copy(), formatter
