"""Where names are bound: variables in the namespace, magics (`%name`, `%%name`) in the shell's tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .magics import Magics, is_magic

_ABSENT = object()


class Places:
    """A namespace, and what the shell has beside it."""

    def __init__(self, namespace: dict[str, Any], magics: Magics) -> None:
        self.namespace = namespace
        self.magics = magics

    def __contains__(self, name: str) -> bool:
        if is_magic(name):
            return name in self.magics
        return name in self.namespace

    def __getitem__(self, name: str) -> Any:
        """As dict does it: the target's namespace must not ask for what is absent."""
        if is_magic(name):
            return self.magics[name]
        return dict.__getitem__(self.namespace, name)

    def get(self, name: str) -> Any:
        return self[name] if name in self else None  # noqa: SIM401 - this is `get`

    def bind(self, name: str, value: Any) -> None:
        if is_magic(name):
            self.magics.bind(name, value)
        else:
            self.namespace[name] = value

    def unbind(self, name: str) -> None:
        if is_magic(name):
            self.magics.unbind(name)
        else:
            dict.pop(self.namespace, name, None)

    def restorer(self, name: str) -> Callable[[], None]:
        """Makes this name what it is now."""
        if is_magic(name):
            return self.magics.restorer(name)
        before = dict.get(self.namespace, name, _ABSENT)

        def restore() -> None:
            if before is _ABSENT:
                dict.pop(self.namespace, name, None)
            else:
                self.namespace[name] = before

        return restore
