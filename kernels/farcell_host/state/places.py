"""Where names are bound: variables in the namespace, magics (`%name`, `%%name`) in the shell's tables, lists in loggers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .loggers import LoggerLists, is_list
from .magics import Magics, is_magic

_ABSENT = object()
_BESIDE = ("%", "<")  # which no variable's name begins with


class Places:
    """A namespace, and what the process has beside it."""

    def __init__(self, namespace: dict[str, Any], magics: Magics) -> None:
        self.namespace = namespace
        self.magics = magics
        self._lists = LoggerLists()

    def __contains__(self, name: str) -> bool:
        beside = self._beside(name)
        return name in (self.namespace if beside is None else beside)

    def __getitem__(self, name: str) -> Any:
        """As dict does it: the target's namespace must not ask for what is absent."""
        beside = self._beside(name)
        return dict.__getitem__(self.namespace, name) if beside is None else beside[name]

    def get(self, name: str) -> Any:
        if name[:1] in _BESIDE:
            return self[name] if name in self else None  # noqa: SIM401 - this is `get`
        return self.namespace.get(name)

    def bind(self, name: str, value: Any) -> None:
        beside = self._beside(name)
        if beside is None:
            self.namespace[name] = value
        else:
            beside.bind(name, value)

    def unbind(self, name: str) -> None:
        beside = self._beside(name)
        if beside is None:
            dict.pop(self.namespace, name, None)
        else:
            beside.unbind(name)

    def restorer(self, name: str) -> Callable[[], None]:
        """Makes this name what it is now."""
        beside = self._beside(name)
        if beside is not None:
            return beside.restorer(name)
        before = dict.get(self.namespace, name, _ABSENT)

        def restore() -> None:
            if before is _ABSENT:
                dict.pop(self.namespace, name, None)
            else:
                self.namespace[name] = before

        return restore

    def _beside(self, name: str) -> Magics | LoggerLists | None:
        """What keeps a name that is no variable's."""
        return self.magics if is_magic(name) else self._lists if is_list(name) else None
