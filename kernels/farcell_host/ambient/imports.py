"""Something to be done around the import of a module, or right after it, before any code can use it."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec
from types import ModuleType


class ImportWatch(importlib.abc.MetaPathFinder):
    """On `sys.meta_path` as long as it waits for anything."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def after(self, module: str, call: Callable[[], None]) -> None:
        self._waiting.setdefault(module, []).append(call)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        calls = self._waiting.pop(fullname, None)
        if calls is None:
            return None
        spec = importlib.util.find_spec(fullname)  # by the other finders: it is no longer waited for
        if spec is None or (loader := _executing(spec)) is None:
            self._waiting[fullname] = calls
            return spec
        spec.loader = _Then(loader, calls)
        if not self._waiting:
            sys.meta_path.remove(self)
        return spec


class ImportGuard(importlib.abc.MetaPathFinder):
    """Runs the imports of certain modules within a context: the outermost ones, each with all that it imports in turn.

    Stays on `sys.meta_path` as long as there is who wants it, and never touches a reload.
    """

    def __init__(self, names: Set[str], context: Callable[[], AbstractContextManager[None]]) -> None:
        """`context`: a method, whose object is who wants it."""
        self._names = names
        self._context = weakref.WeakMethod(context)
        self._within = threading.local()

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self._names or target is not None or getattr(self._within, "is_so", False):
            return None
        context = self._context()
        if context is None:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            return None
        self._within.is_so = True
        try:
            spec = importlib.util.find_spec(fullname)  # by the other finders
        finally:
            self._within.is_so = False
        if spec is not None and (loader := _executing(spec)) is not None:
            spec.loader = _Inside(loader, context(), self._within)
        return spec


def _executing(spec: ModuleSpec) -> importlib.abc.Loader | None:
    """None for a namespace, and for a loader of the kind that Python 3.4 replaced."""
    return spec.loader if spec.loader is not None and hasattr(spec.loader, "exec_module") else None


class _Around(importlib.abc.Loader):
    """In place of a module's loader until the module is executed."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)


class _Then(_Around):
    def __init__(self, loader: importlib.abc.Loader, calls: list[Callable[[], None]]) -> None:
        super().__init__(loader)
        self._calls = calls

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for call in self._calls:
            call()


class _Inside(_Around):
    def __init__(self, loader: importlib.abc.Loader, context: AbstractContextManager[None], within: threading.local) -> None:
        super().__init__(loader)
        self._context, self._within = context, within

    def exec_module(self, module: ModuleType) -> None:
        self._within.is_so = True
        try:
            with self._context:
                super().exec_module(module)
        finally:
            self._within.is_so = False
