"""What the notebook sets on modules and classes of libraries: `pd.DataFrame.shout = shout`, `requests.get = fake`.

The state of a library is each side's own, and how it changes itself is its own affair. But an attribute that a cell assigns to
is the notebook's: which ones these are is seen in the text of the cells (`farcell/capture/patches.py`), and both sides look at
the same places. Such a place is a part of every exchange, `<module NAME>`, from the first time on that it holds something else
than it did when it was first looked at, which is before the cell has run, or right after the module's import.

A function or class that has lost its place to another one could be found by nobody under its own name: it goes as `original`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from ..ambient.imports import ImportWatch
from .modules import ModuleContent, ModuleState, local_module

Place = tuple[str, str]
"""A module's name, and in it `attribute` or `Class.attribute`."""
# Each side's kernel needs its own, the notebook cannot mean the other one's; or it travels in another way (ambient).
_NEVER = frozenset({"__main__", "builtins", "IPython", "ipykernel", "farcell", "farcell_host", "zmq", "tornado", "asyncio"})
_OF_SYS = frozenset({"argv", "ps1", "ps2", "tracebacklimit", "dont_write_bytecode"})
_AMBIENT = frozenset({("warnings", "filters")})
_HEAP_TYPE = 1 << 9
_ABSENT, _UNKNOWN = object(), object()


def _may_travel(module: str, attribute: str) -> bool:
    if module == "sys":
        return attribute in _OF_SYS
    return module.partition(".")[0] not in _NEVER and (module, attribute) not in _AMBIENT


def find_place(path: str) -> Place | None:
    """Of `pandas.DataFrame.shout`: the module, as far as there are modules, and the rest; None if that is no attribute of a
    library's module or class."""
    parts = path.split(".")
    module = next((name for end in range(len(parts) - 1, 0, -1) if (name := ".".join(parts[:end])) in sys.modules), None)
    if module is None:
        return None
    found = sys.modules[module]
    rest = parts[module.count(".") + 1 :]
    while len(rest) > 1 and type(getattr(found, rest[0], None)) is ModuleType:  # `os.path`
        found = getattr(found, rest.pop(0))
    if not isinstance(found, ModuleType) or sys.modules.get(found.__name__) is not found or local_module(found.__name__):
        return None
    owner = _owner(found, rest[:-1])
    if isinstance(owner, type):
        return _place_of_class(owner, rest[-1])
    return (found.__name__, rest[-1]) if owner is found and _may_travel(found.__name__, rest[-1]) else None


def _place_of_class(owner: type, attribute: str) -> Place | None:
    """Under the name that others use: `pathlib.Path`, which Python 3.13 has in `pathlib._local`."""
    if local_module(owner.__module__) or not owner.__flags__ & _HEAP_TYPE:
        return None
    for name in _packages(owner.__module__):
        module = sys.modules.get(name)
        if module is not None and _owner(module, owner.__qualname__.split(".")) is owner:
            return (name, f"{owner.__qualname__}.{attribute}") if _may_travel(name, "") else None
    return None


def _packages(module: str) -> Iterator[str]:
    """`a`, `a.b` and `a.b.c`."""
    parts = module.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _owner(module: ModuleType, names: Iterable[str]) -> Any:
    found: Any = module
    for name in names:
        found = vars(found).get(name) if isinstance(found, (ModuleType, type)) else None
    return found


def _read(owner: Any, attribute: str) -> Any:
    """As it is stored; of a module with properties (`torch.backends.cudnn`) what the property gives."""
    found = vars(owner).get(attribute, _ABSENT)
    if found is _ABSENT and not isinstance(owner, type) and hasattr(type(owner), attribute):
        return getattr(owner, attribute)
    return found


class Patched:
    """A module with the places in it that the notebook assigns to. Looks like `modules.Seen` to whoever dumps it."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.originals: dict[str, Any] = {}
        self.changed: set[str] = set()
        """Where anything else is, or has been, than there was."""
        self.stuck: dict[str, int] = {}
        """Attribute -> id of its value, where that cannot travel."""
        self._told: dict[str, int] = {}

    def newly_stuck(self) -> list[str]:
        """Attributes whose values cannot travel, each once."""
        found = [path for path, key in self.stuck.items() if key == id(self.now(path)) and self._told.get(path) != key]
        self._told.update(self.stuck)
        return found

    def look(self) -> bool:
        """Whether anything is to be told."""
        self.changed.update(path for path, each in self.originals.items() if self.now(path) is not each)
        return bool(self.changed)

    def now(self, path: str) -> Any:
        owner = self._owner(path)
        return _read(owner, path.rpartition(".")[2]) if owner is not None else _ABSENT

    def _owner(self, path: str) -> Any:
        return _owner(self.module, path.split(".")[:-1])

    @property
    def state(self) -> ModuleState:
        return ModuleState(self, PatchContent)

    def data(self) -> dict[str, Any]:
        found = {path: self.now(path) for path in sorted(self.changed)}
        return {path: value for path, value in found.items() if value is not _ABSENT and self.stuck.get(path) != id(value)}

    def missing(self) -> list[str]:
        return [path for path in sorted(self.changed) if self.now(path) is _ABSENT]

    def put(self, path: str, value: Any) -> None:
        owner, attribute = self._owner(path), path.rpartition(".")[2]
        if owner is None or self.now(path) is value:
            return
        if value is _ABSENT:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, value)


class PatchContent(ModuleContent):
    """The same at the peer."""

    def merge(self) -> Iterator[Callable[[], None]]:
        with contextlib.suppress(Exception):  # a library that this side lacks: no code here can use it
            importlib.import_module(self.name)
        paths = [*self.data, *self.missing]
        PATCHES.watch(f"{self.name}.{path}" for path in paths)
        patched = PATCHES.of(self.name)
        before = {path: patched.now(path) for path in paths} if patched is not None else {}

        def undo() -> None:
            self._put(before)

        yield undo
        self._put({**self.data, **dict.fromkeys(self.missing, _ABSENT)})

    def _put(self, values: dict[str, Any]) -> None:
        patched = PATCHES.of(self.name)
        if patched is not None:
            for path, value in values.items():
                patched.put(path, value)
                patched.changed.add(path)


class Patches:
    """All places of this process that the notebook assigns to."""

    def __init__(self) -> None:
        self.is_used = False
        self._patched: dict[str, Patched] = {}
        self._places: dict[int, Place] = {}
        """id of an original -> where it was."""
        self._paths: dict[str, Place | None] = {}
        self._imports = ImportWatch()

    def watch(self, paths: Iterable[str], was_run: bool = False) -> None:
        """Look at these from now on. `was_run`: what was assigned there may be there already."""
        for path in paths:
            if path in self._paths:
                continue
            self._paths[path] = None
            if not self._look_at(path, was_run):
                self._wait(path)

    def _wait(self, path: str) -> None:
        """For the import of the first module on the way that is not here."""
        missing = next((name for name in _packages(path.rpartition(".")[0]) if name not in sys.modules), None)
        if missing is not None:
            self._imports.after(missing, partial(self._imported, path))

    def _imported(self, path: str) -> None:
        if not self._look_at(path, False):
            self._wait(path)

    def _look_at(self, path: str, was_run: bool) -> bool:
        place = find_place(path)
        if place is None:
            return False
        name, attribute = self._paths[path] = place
        self.is_used = True
        patched = self._patched.setdefault(name, Patched(sys.modules[name]))
        if attribute not in patched.originals:
            self._know(place, _UNKNOWN if was_run else patched.now(attribute))
        return True

    def _know(self, place: Place, original: Any) -> None:
        name, attribute = place
        self._patched[name].originals[attribute] = original
        if callable(original):
            self._places[id(original)] = place

    @property
    def paths(self) -> list[str]:
        """All that are watched, as the other side finds them."""
        return sorted({".".join(place) if place is not None else path for path, place in self._paths.items()})

    def of(self, name: str) -> Patched | None:
        found = self._patched.get(name)
        return found if found is not None and sys.modules.get(name) is found.module else None

    def known(self) -> list[Patched]:
        return [each for each in self._patched.values() if each.look()]

    def newly_stuck(self) -> list[str]:
        return [f"{each.module.__name__}.{path}" for each in self._patched.values() for path in each.newly_stuck()]

    def place_of(self, obj: Any) -> Place | None:
        """Where this has been, if something of the notebook's may be there now."""
        known = self._places.get(id(obj))
        if known is None:
            known = self._told_by(obj)
            if known is not None:
                self._know(known, obj)
        return known

    def _told_by(self, obj: Any) -> Place | None:
        """Of what was taken away before this side has looked: a definition says itself where it was, and of what module it is."""
        module, path = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(path, str):
            return None
        if isinstance(obj, FunctionType) and obj.__globals__ is not getattr(sys.modules.get(module), "__dict__", None):
            return None
        return next(((name, path) for name in _packages(module) if self._is_unknown(name, path)), None)

    def _is_unknown(self, name: str, path: str) -> bool:
        return name in self._patched and self._patched[name].originals.get(path, _ABSENT) is _UNKNOWN


PATCHES = Patches()


def original(name: str, path: str) -> Any:
    """What was there before the notebook set something else."""
    patched = PATCHES.of(name)
    if patched is not None:
        found = patched.originals.get(path, _UNKNOWN)
        return patched.now(path) if found is _UNKNOWN or found is _ABSENT else found
    return Patched(importlib.import_module(name)).now(path)
