"""Magics of the notebook's own: names as any others, written `%name` and `%%name`, that the shell's tables bind.

What `%alias`, `%alias_magic`, `register_line_magic` and the like have registered travels by value, functions by source. A magic
that an extension has registered stands for the extension, which the peer loads. IPython's and ipykernel's own are on both sides.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MethodType, ModuleType
from typing import Any

from ..ambient.watch import Watch
from . import context
from .modules import local_module
from .refs import RefBase

_STANDARD_PACKAGES = frozenset({"IPython", "ipykernel", "farcell", "farcell_host"})
_STANDARD_EXTENSIONS = frozenset({"IPython.extensions.storemagic"})
_STANDARD_SYNONYMS = frozenset({"%ed", "%hist", "%rep", "%%SVG", "%%HTML", "%%file"})
_ABSENT = object()


def is_magic(name: str) -> bool:
    return name.startswith("%")


def running_shell() -> Any:
    """IPython's, where there is one."""
    module = sys.modules.get("IPython.core.interactiveshell")
    return module.InteractiveShell._instance if module is not None else None


def is_shell(kind: type) -> bool:
    """Types of IPython's shell, of which each side has its own."""
    module = sys.modules.get("IPython.core.interactiveshell")
    return module is not None and issubclass(kind, module.InteractiveShell)


def reduce_shell(shell: Any) -> Any:
    return (running_shell, ()) if shell is running_shell() else NotImplemented


class OfExtension:
    """Stands for a magic that an extension has registered."""

    def __init__(self, name: str, extension: str) -> None:
        self.name, self.extension = name, extension

    def __reduce__(self) -> tuple[Any, ...]:
        return load_extension, (self.name, self.extension, local_module(self.extension))


def load_extension(name: str, extension: str, module: ModuleType | None) -> OfExtension:
    """Loads it where it is not; on the target what fails is an error, in the notebook the magic tells of it when it is called."""
    magics = context.current().magics
    try:
        magics.load(extension)
        return magics[name]  # type: ignore[no-any-return]
    except Exception as error:
        problem = f"it has no {name}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        if context.current().side == "remote":
            raise LookupError(f"{name} is of the extension {extension!r}, which cannot be loaded there: {problem}") from error
        return Missing(name, extension, problem)


class Missing(OfExtension):
    """In the place of a magic whose extension only the target has."""

    def __init__(self, name: str, extension: str, problem: str) -> None:
        super().__init__(name, extension)
        self._problem = problem

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        from IPython.core.error import UsageError

        raise UsageError(
            f"{self.name} is of the extension {self.extension!r}, which was loaded by a remote cell and cannot be loaded here: "
            f"{self._problem}. Use it in remote cells."
        )


class Magics(Mapping[str, Any]):
    """The notebook's own in this process, by `%name` and `%%name`: what travels for each."""

    def __init__(self, shell: Callable[[], Any] = running_shell) -> None:
        self._shell = shell
        self._watch, self._watched = Watch(), (0, 0)  # of the shell's tables, which are these
        self._own: dict[str, Any] = {}
        self._stand_ins: dict[str, tuple[Any, OfExtension]] = {}
        self._covered: dict[str, Any] = {}
        self._aside: dict[str, Any] = {}

    # -- the mapping

    def __getitem__(self, name: str) -> Any:
        function = self._functions()[name]
        known = self._stand_ins.get(name)
        if known is not None and known[0] is function:
            return known[1]
        extension = self._extension_of(function)
        if extension is None:
            return function
        self._stand_ins[name] = (function, OfExtension(name, extension))
        return self._stand_ins[name][1]

    def __contains__(self, name: object) -> bool:
        return name in self._functions()

    def __iter__(self) -> Any:
        return iter(self._functions())

    def __len__(self) -> int:
        return len(self._functions())

    def bind(self, name: str, value: Any) -> None:
        if type(value) is OfExtension or self._shell() is None:  # loading an extension has registered its magics
            return
        table, key = self._place(name)
        if name not in self._functions() and key in table:
            self._covered[name] = table[key]
        table[key] = value

    def unbind(self, name: str) -> None:
        """IPython's own of that name, if there is one, is in force again."""
        if name not in self:
            return
        table, key = self._place(name)
        del table[key]
        if name in self._covered:
            table[key] = self._covered.pop(name)

    def restorer(self, name: str) -> Callable[[], None]:
        """Makes this name what it is now."""
        if self._shell() is None:
            return lambda: None
        table, key = self._place(name)
        before = table.get(key, _ABSENT)

        def restore() -> None:
            if before is not _ABSENT:
                table[key] = before
            else:
                table.pop(key, None)

        return restore

    # -- a run on the target: those that its request did not verify are asked for when they are used

    def begin_run(self, verified: Iterable[str]) -> dict[str, Any]:
        """Takes the others aside; the answer are the functions that stay."""
        for name in self._functions().keys() - set(verified):
            self._aside[name] = self._functions()[name]
            self.unbind(name)
        return dict(self._functions())

    def reveal(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._aside:
                self.bind(name, self._aside.pop(name))

    def changes_since(self, before: Mapping[str, Any]) -> set[str]:
        now = self._functions()
        return {name for name in before.keys() | now.keys() if before.get(name) is not now.get(name)}

    def end_run(self) -> None:
        aside, self._aside = self._aside, {}
        for name, function in aside.items():
            if name not in self:
                self.bind(name, function)

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._aside.pop(name, None)
            self.unbind(name)

    # -- the shell's tables

    def load(self, extension: str) -> None:
        """Has an extension loaded, without what it prints."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self._shell().extension_manager.load_extension(extension)

    def _place(self, name: str) -> tuple[dict[str, Any], str]:
        tables = self._shell().magics_manager.magics
        return (tables["cell"], name[2:]) if name.startswith("%%") else (tables["line"], name[1:])

    def _functions(self) -> dict[str, Any]:
        """What is registered; looked through only when anything was registered since, since most notebooks have none."""
        shell = self._shell()
        if shell is None:
            return {}
        tables = shell.magics_manager.magics
        line, cell = tables["line"], tables["cell"]
        if self._watched != (id(line), id(cell)) or not _is_same(self._watch):
            self._watch = Watch()
            self._watch.dict(line)
            self._watch.dict(cell)
            self._watch.see()
            self._watched = id(line), id(cell)
            both = (("%", tables["line"]), ("%%", tables["cell"]))
            functions = {prefix + key: function for prefix, table in both for key, function in table.items()}
            self._own = {name: function for name, function in functions.items() if not self._is_standard(name, function)}
        return self._own

    def _is_standard(self, name: str, function: Any) -> bool:
        """Whether any kernel has it from the start."""
        if isinstance(function, Missing | RefBase):
            return False
        kind = type(function)
        if (kind.__module__, kind.__name__) == ("IPython.core.alias", "Alias"):
            return _without_colour(function.cmd) in map(_without_colour, self._default_commands(function.name))
        if (kind.__module__, kind.__name__) == ("IPython.core.magic", "MagicAlias"):
            return name in _STANDARD_SYNONYMS
        module = _module_of(function)
        if module.startswith("IPython.extensions."):
            return module in _STANDARD_EXTENSIONS
        return module.partition(".")[0] in _STANDARD_PACKAGES

    def _default_commands(self, name: str) -> list[str]:
        return [command for key, command in self._shell().alias_manager.default_aliases if key == name]

    def _extension_of(self, function: Any) -> str | None:
        """The loaded extension that has registered it: of its module, else of its package."""
        if isinstance(function, OfExtension):
            return function.extension
        module = _module_of(function)
        loaded = self._shell().extension_manager.loaded
        if module in loaded:
            return module
        root = module.partition(".")[0]
        of_package = sorted(each for each in loaded if each.partition(".")[0] == root and root not in _STANDARD_PACKAGES)
        return of_package[0] if of_package else None


def _is_same(watch: Watch) -> bool:
    """A ref lets nobody compare it."""
    try:
        return watch.is_same
    except Exception:
        return False


def _module_of(function: Any) -> str:
    if isinstance(function, MethodType):
        return str(type(function.__self__).__module__)
    return str(getattr(function, "__module__", None) or type(function).__module__)


def _without_colour(command: str) -> str:
    return command.replace(" --color", "")
