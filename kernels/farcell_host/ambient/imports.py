"""Something to be done right after a module has been imported, before any code can use it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


class ImportWatch(importlib.abc.MetaPathFinder):
    """On `sys.meta_path` as long as it waits for anything."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def after(self, module: str, call: Callable[[], None]) -> None:
        self._waiting.setdefault(module, []).append(call)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        calls = self._waiting.pop(fullname, None)
        if calls is None:
            return None
        spec = importlib.util.find_spec(fullname)  # by the other finders: it is no longer waited for
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            self._waiting[fullname] = calls
            return spec
        spec.loader = _Then(spec.loader, calls)
        if not self._waiting:
            sys.meta_path.remove(self)
        return spec


class _Then(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, calls: list[Callable[[], None]]) -> None:
        self._loader, self._calls = loader, calls

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for call in self._calls:
            call()
