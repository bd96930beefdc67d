"""Modules of the notebook's own: files in its folder, in what it has put into `sys.path`, in editable installs.

Such a module goes by source, as it was loaded here, and the peer executes that. What it holds beside its definitions, and what
its classes hold, is state like that of any name: `<module NAME>` in a payload. Functions and classes go by reference, as those of
libraries do. Where the peer's execution made the same as this one did, both sides agree that these are the same objects (`offer`,
`compare`): a default argument and the module's attribute stay one object there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import io
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from .sources import BOOK

_PREFIX = "<module "
_OURS = frozenset({"__main__", "farcell", "farcell_host"})
_DEFINITIONS = (
    types.FunctionType, types.BuiltinFunctionType, type, ModuleType, property, classmethod, staticmethod,
    types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
    functools._lru_cache_wrapper, functools.cached_property, functools.partialmethod, functools.singledispatchmethod,
)  # fmt: skip
_MISSING = object()


def pseudo_name(module: str) -> str:
    """Of a module's state in a payload."""
    return f"{_PREFIX}{module}>"


def is_module_state(name: str) -> bool:
    return name.startswith(_PREFIX)


def module_of(name: str) -> str:
    """The reverse of `pseudo_name`."""
    return name[len(_PREFIX) : -1]


@functools.lru_cache(1)
def _library_folders() -> tuple[str, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({os.path.join(os.path.realpath(path), "") for path in paths if path})


@functools.lru_cache(4096)
def is_local_file(filename: str) -> bool:
    parts = Path(filename).parts
    if not filename.endswith(".py") or "site-packages" in parts or "dist-packages" in parts:
        return False
    return not os.path.realpath(filename).startswith(_library_folders())


def is_local(module: ModuleType) -> bool:
    """Whether it is the notebook's own: a Python file that no package manager has put where libraries are."""
    own = vars(module)
    name, filename = own.get("__name__"), own.get("__file__")
    if not isinstance(name, str) or not isinstance(filename, str) or sys.modules.get(name) is not module:
        return False
    return name.partition(".")[0] not in _OURS and is_local_file(filename)


REPLACED = "a module whose name means another one by now, since it was imported anew"
REPLACED_HINT = "Import it again under this name"


def is_replaced(module: ModuleType) -> bool:
    """Whether it is the notebook's own and its name means another module by now, here and on the other side."""
    own = vars(module)
    name, filename = own.get("__name__"), own.get("__file__")
    found = sys.modules.get(name, module) if isinstance(name, str) else module
    return found is not module and isinstance(filename, str) and is_local_file(filename) and own.get("__spec__") is not None


def local_module(name: object) -> ModuleType | None:
    """The loaded module of that name, if it is the notebook's own."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module if isinstance(module, ModuleType) and is_local(module) else None


class HasState(Protocol):
    """A module of which something travels."""

    module: ModuleType
    stuck: dict[str, int]

    @property
    def state(self) -> ModuleState: ...
    def data(self) -> dict[str, Any]: ...
    def missing(self) -> list[str]: ...


@dataclass
class Source:
    """A module as it was loaded; `filename` is the notebook's."""

    name: str
    filename: str
    text: str
    is_package: bool

    @property
    def version(self) -> str:
        return hashlib.blake2b(f"{self.filename}\0{self.text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass
class Seen:
    """A loaded module of one's own, as it was when it had been executed."""

    module: ModuleType
    spec: Any
    source: Source
    stamp: tuple[int, int] | None
    """The file's (mtime_ns, size) at first sight."""
    originals: dict[str, Any]
    """Definitions by name, those in its classes as `Class.name`."""
    stuck: dict[str, int] = field(default_factory=dict)
    """Attribute -> id of its value, where that cannot travel."""
    has_warned: bool = False

    @property
    def state(self) -> ModuleState:
        return ModuleState(self, ModuleContent)

    def data(self) -> dict[str, Any]:
        """What it and its classes hold beside their original definitions, and can travel."""
        return {
            name: value
            for name, value in attributes(self.module).items()
            if not self._is_original(name, value) and self.stuck.get(name) != id(value)
        }

    def _is_original(self, name: str, value: Any) -> bool:
        if self.originals.get(name, _MISSING) is value:
            return True
        if not isinstance(value, (types.FunctionType, type)):
            return False
        return value.__qualname__ == name and value.__module__ == self.module.__name__  # put back, after it had been replaced

    def missing(self) -> list[str]:
        """Definitions that were deleted."""
        now = attributes(self.module)
        return [name for name in self.originals if name not in now]


def attributes(module: ModuleType) -> dict[str, Any]:
    """By name; those of classes that the module defines as `Class.name`. Without names of the interpreter's."""
    found: dict[str, Any] = {}
    for name, value in list(vars(module).items()):
        if _is_internal(name) or (isinstance(value, ModuleType) and sys.modules.get(f"{module.__name__}.{name}") is value):
            continue  # a submodule is bound by whoever imports it
        found[name] = value
        if isinstance(value, type) and value.__module__ == module.__name__:
            found.update((f"{name}.{each}", part) for each, part in list(vars(value).items()) if not _is_internal(each))
    return found


def _is_definition(value: Any) -> bool:
    """What executing the module makes anew on the other side; the notebook's own functions were put there by the notebook."""
    return isinstance(value, _DEFINITIONS) and getattr(value, "__module__", None) != "__main__"


def _is_internal(name: str) -> bool:
    return (name.startswith("__") and name.endswith("__")) or name == "_abc_impl"


def set_attribute(module: ModuleType, name: str, value: Any) -> None:
    owner, _, attribute = name.rpartition(".")
    if owner:
        type.__setattr__(vars(module)[owner], attribute, value)
    else:
        vars(module)[name] = value


def delete_attribute(module: ModuleType, name: str) -> None:
    owner, _, attribute = name.rpartition(".")
    if owner:
        type.__delattr__(vars(module)[owner], attribute)
    else:
        del vars(module)[name]


class ModuleState:
    """Stands for a module's state in a dump."""

    def __init__(self, seen: HasState, content: type[ModuleContent]) -> None:
        self.seen, self.content = seen, content

    def __reduce__(self) -> tuple[Any, ...]:
        return self.content, (self.seen.module.__name__, self.seen.data(), tuple(self.seen.missing()))


class ModuleContent:
    """The same at the peer."""

    def __init__(self, name: str, data: dict[str, Any], missing: tuple[str, ...]) -> None:
        self.name, self.data, self.missing = name, data, missing

    def merge(self) -> Iterator[Callable[[], None]]:
        """Yields how it is taken back, then makes the module's state so."""
        module = importlib.import_module(self.name)
        seen = MODULES.see(module)
        before = attributes(module)

        def undo() -> None:
            _make_so(module, before)

        yield undo
        kept = {name: value for name, value in before.items() if seen.stuck.get(name) == id(value)}
        originals = {name: value for name, value in seen.originals.items() if name not in self.missing}
        _make_so(module, {**kept, **originals, **self.data})


def _make_so(module: ModuleType, wanted: dict[str, Any]) -> None:
    now = attributes(module)
    for name, value in wanted.items():
        if now.get(name, _MISSING) is not value:
            set_attribute(module, name, value)
    for name in now:
        if name not in wanted and name in attributes(module):
            delete_attribute(module, name)


class _Same:
    """Equal when it is of the same object."""

    def __init__(self, of: object) -> None:
        self._of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._of is other._of


class Modules:
    """All modules of its own that this process has seen."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self.sources: dict[str, Source] = {}
        """Sources of the peer's that are yet to be loaded here, by module name. Each serves one load: what was taken out of
        `sys.modules` since is imported from what its file has become, as it would be there."""
        self._newest: tuple[Any, ...] = ()
        """How many modules there were at the last look, and which was imported or reloaded last."""

    def see(self, module: ModuleType) -> Seen:
        """As it was at first sight since it was loaded last; OSError when its source cannot be read."""
        known = self._seen.get(module.__name__)
        spec = getattr(module, "__spec__", None)
        if known is not None and known.module is module and known.spec is spec:
            return known
        source, stamp = self._read(module)
        originals = {name: value for name, value in attributes(module).items() if _is_definition(value)}
        seen = self._seen[module.__name__] = Seen(module, spec, source, stamp, originals)
        return seen

    def _read(self, module: ModuleType) -> tuple[Source, tuple[int, int] | None]:
        name, filename = module.__name__, str(module.__file__)
        is_package = hasattr(module, "__path__")
        loader = getattr(module, "__loader__", None)
        if isinstance(loader, SourceOfPeer):
            return loader.source, None
        stamp = stamp_of(filename)
        return Source(name, filename, importlib.util.decode_source(Path(filename).read_bytes()), is_package), stamp

    def has_seen(self, name: str) -> bool:
        """Whether a module of one's own by that name was loaded here, even if `sys.modules` has it no more."""
        return name in self._seen

    def see_new(self) -> list[str]:
        """Look at what was imported since the last call, so that its source is kept as it was loaded; the answer names it."""
        module = sys.modules.get(_newest())
        newest = (len(sys.modules), _Same(module), _Same(getattr(module, "__spec__", None)))
        if newest == self._newest:
            return []
        new = []
        for name, module in sys.modules.copy().items():  # at one go: other threads import
            known = self._seen.get(name)
            if known is not None and known.module is module and known.spec is getattr(module, "__spec__", None):
                continue
            if isinstance(module, ModuleType) and is_local(module):
                with contextlib.suppress(OSError, SyntaxError, UnicodeError):
                    self.see(module)
                    new.append(name)
        self._newest = newest
        return new

    def changed_files(self, names: Iterable[str]) -> list[str]:
        """File names of modules whose files are not what was loaded any more; each is told once."""
        found = []
        for name in names:
            seen = self._seen.get(name)
            if seen is not None and not seen.has_warned and seen.stamp not in (None, stamp_of(seen.source.filename)):
                seen.has_warned = True
                found.append(seen.source.filename)
        return found

    def closure(self, names: Iterable[str]) -> list[str]:
        """These modules, their packages, and all modules of the notebook's own that they have imported; imported ones first."""
        order: dict[str, None] = {}
        entered: set[str] = set()

        def enter(name: str) -> None:
            module = local_module(name)
            if module is None or name in entered:
                return
            entered.add(name)
            if "." in name:
                enter(name.rpartition(".")[0])
            for value in list(vars(module).values()):
                other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
                if isinstance(other, str):
                    enter(other)
            order[name] = None

        for name in names:
            enter(name)
        return list(order)


def _newest() -> str:
    """The name that came into sys.modules last: import and reload both put theirs at the end."""
    while True:
        try:
            return next(reversed(sys.modules))
        except RuntimeError:  # another thread imports at this very moment
            continue


def stamp_of(filename: str) -> tuple[int, int] | None:
    try:
        found = os.stat(filename)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


MODULES = Modules()


class SourceOfPeer:
    """Loads a module from the peer's source, under the peer's file name (an importlib loader, PEP 451)."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        source = self.source
        if MODULES.sources.get(source.name) == source:
            del MODULES.sources[source.name]
        BOOK.show(BOOK.add(source.filename, source.text), None)
        exec(compile(source.text, source.filename, "exec", dont_inherit=True), vars(module))

    def get_source(self, name: str) -> str:
        return self.source.text

    def is_package(self, name: str) -> bool:
        return self.source.is_package


class PeersModules:
    """A finder on `sys.meta_path`, before all others: what the peer has loaded is loaded here as it was there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if target is not None:  # a reload wants what the file has become
            return None
        source = MODULES.sources.get(name)
        return spec_of(source) if source is not None else None


def spec_of(source: Source) -> Any:
    """An importlib spec for a module of the peer's."""
    folder = [os.path.dirname(source.filename)] if source.is_package else None
    loader: Any = SourceOfPeer(source)
    return importlib.util.spec_from_file_location(source.name, source.filename, loader=loader, submodule_search_locations=folder)


def find_source(name: str, anew: bool = False) -> Source | None:
    """Of a module that could be imported here and is the notebook's own; as it was loaded, or `anew` as its file is. Imports
    nothing."""
    module = sys.modules.get(name)
    if isinstance(module, ModuleType) and not anew:
        return MODULES.see(module).source if is_local(module) else None
    path: Any = None
    spec = None
    for end in range(1, name.count(".") + 2):
        spec = importlib.machinery.PathFinder.find_spec(".".join(name.split(".")[:end]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    if spec is None or not spec.has_location or spec.origin is None or not is_local_file(spec.origin):
        return None
    try:
        text = importlib.util.decode_source(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, UnicodeError):
        return None
    return Source(name, spec.origin, text, path is not None)


def import_quietly(name: str) -> ModuleType:
    """What the module prints while it is executed was printed where it was imported first."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return importlib.import_module(name)


def reload_quietly(module: ModuleType) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        importlib.reload(module)


def load(source: Source) -> None:
    """Have this module here as the peer has it: executed for the first time, or anew in the same object, as reload does."""
    loaded = sys.modules.get(source.name)
    MODULES.sources[source.name] = source
    if loaded is None:
        import_quietly(source.name)
        return
    spec = spec_of(source)
    loaded.__spec__, loaded.__loader__, loaded.__file__ = spec, spec.loader, source.filename
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        spec.loader.exec_module(loaded)
