"""The remote kernel's user namespace: a dict that can ask for a name it does not hold.

The interpreter calls `__missing__` of a dict subclass for every global that is absent (LOAD_NAME and LOAD_GLOBAL on
3.10-3.13), and a builtin is absent from a namespace, so each `len` would pay for a Python call. Hence the builtins
are stored in the dict itself and hidden from everything that looks at it as a mapping. `__getitem__`, `__setitem__`
and `__delitem__` stay dict's own: overriding any of them would slow down each read or write of a global.

While a run goes on, every user name that its request did not verify lies aside: reading one asks the notebook instead
of finding a stale value. It is kept alive, and is put back when the run is over.
"""

from __future__ import annotations

import builtins
import importlib
import operator
import sys
import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from itertools import repeat
from types import ModuleType
from typing import Any, NoReturn

# IPython and ipykernel replace these while a cell runs, or install `_` for gettext: always look them up where they are.
_NEVER_SEEDED = {
    "_",
    "copyright",
    "credits",
    "display",
    "exit",
    "get_ipython",
    "help",
    "input",
    "license",
    "open",
    "quit",
}
_MODULE_NAMES = {
    "__builtin__",
    "__builtins__",
    "__cached__",
    "__doc__",
    "__loader__",
    "__name__",
    "__package__",
    "__path__",
    "__session__",
    "__spec__",
    "__warningregistry__",
}
_ABSENT = object()


@dataclass(frozen=True)
class Changes:
    """How the bindings differ from a snapshot."""

    new: frozenset[str]
    rebound: frozenset[str]
    deleted: frozenset[str]


class Namespace(dict[str, Any]):
    """`exec`'s globals in the remote kernel.

    `own` is IPython's `user_ns_hidden`: a name bound to the very value recorded there is IPython's, and neither hidden
    nor collected. `fetch(name)` is asked for a name that is absent while a run goes on; it binds the name and says so,
    or returns False.
    """

    __slots__ = ("_aside", "_lock", "_seeds", "fetch", "own")

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.own: Mapping[str, Any] = {}
        self.fetch: Callable[[str], bool] | None = None
        self._seeds: dict[str, Any] = {}
        self._aside: dict[str, Any] = {}
        self._lock = threading.RLock()
        self.seed()
        self.update(values or {})

    # Builtins

    def seed(self) -> None:
        """Makes the builtins as they are now part of the dict; a name the user has bound stays as it is."""
        self.unseed()
        self._seeds = {
            name: value
            for name, value in vars(builtins).items()
            if name not in _NEVER_SEEDED and (not name.startswith("__") or name in ("__import__", "__build_class__"))
        }
        for name, value in self._seeds.items():
            dict.setdefault(self, name, value)

    def unseed(self) -> None:
        """Takes the builtins out again, for a cell that may replace one of them: each is then looked up where it is."""
        for name in [name for name in self._seeds if self._is_seed(name)]:
            dict.__delitem__(self, name)
        self._seeds = {}

    @property
    def is_seeded(self) -> bool:
        return bool(self._seeds)

    def has_stale_seeds(self) -> bool:
        """Whether somebody has replaced a builtin since they were seeded."""
        return not self._seeds.items() <= vars(builtins).items()  # compares identities first, and functions by nothing else

    def _is_seed(self, name: object) -> bool:
        seed = self._seeds.get(name, _ABSENT)  # type: ignore[call-overload]
        return seed is not _ABSENT and dict.__getitem__(self, name) is seed  # type: ignore[misc]

    def __missing__(self, name: str) -> Any:
        value = vars(builtins).get(name, _ABSENT)
        if value is not _ABSENT:
            if name in self._seeds:  # its shadow was deleted
                dict.__setitem__(self, name, self._seeds[name])
            return value
        return self._ask(name)

    def _ask(self, name: str) -> Any:
        if self.fetch is None or name in _MODULE_NAMES or not isinstance(name, str):
            raise KeyError(name)
        if self.fetch(name):
            return dict.__getitem__(self, name)
        raise KeyError(name)

    # A run

    def begin_run(self, verified: Iterable[str]) -> dict[str, Any]:
        """Moves every user name that is not `verified` aside; they stay alive. The others are the answer, as `snapshot`."""
        keep = set(verified)
        with self._lock:
            bindings = self.snapshot()
            for name in [name for name in bindings if name not in keep]:
                del bindings[name]
                self._aside[name] = dict.pop(self, name)
            return bindings

    def reveal(self, names: Iterable[str]) -> None:
        """Puts these names back during a run: the notebook has just said that they are current."""
        with self._lock:
            for name in names:
                value = self._aside.pop(name, _ABSENT)
                if value is not _ABSENT:
                    dict.setdefault(self, name, value)

    def end_run(self) -> None:
        """Puts back what lies aside, except where the run has bound the name itself."""
        with self._lock:
            aside, self._aside = self._aside, {}
            for name, value in aside.items():
                if name not in self:
                    dict.__setitem__(self, name, value)

    def drop(self, names: Iterable[str]) -> None:
        """Forgets names that the notebook has deleted or bound to something else."""
        with self._lock:
            for name in names:
                self._aside.pop(name, None)
                self.pop(name, None)

    # What belongs to the user

    def user_names(self) -> list[str]:
        """Visible names that are the user's: no builtins, nothing of IPython or of the module."""
        return list(self.snapshot())

    def snapshot(self) -> dict[str, Any]:
        """The user's bindings now; holds their values alive."""
        seeds, own = self._seeds, self.own
        return {
            name: value
            for name, value in self._bindings()
            if seeds.get(name, _ABSENT) is not value and name not in _MODULE_NAMES and own.get(name, _ABSENT) is not value
        }

    def _bindings(self) -> list[tuple[str, Any]]:
        """All of the dict's, at once: threads of the user may bind names meanwhile, also while memory for this is found."""
        while True:
            try:
                return list(dict.items(self))
            except RuntimeError:
                continue

    def changes_since(self, snapshot: Mapping[str, Any]) -> Changes:
        """Which of the user's names were bound, bound anew or deleted since; content that changed in place is not."""
        now = self.snapshot()
        return Changes(
            new=frozenset(name for name in now if name not in snapshot),
            rebound=frozenset(name for name, value in now.items() if name in snapshot and snapshot[name] is not value),
            deleted=frozenset(name for name in snapshot if name not in now),
        )

    # The mapping without the builtins

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) and not self._is_seed(name)

    def __iter__(self) -> Iterator[str]:
        seeds = self._seeds
        for name, value in dict.items(self):
            if seeds.get(name, _ABSENT) is not value:
                yield name

    def __reversed__(self) -> Iterator[str]:
        return iter([name for name in dict.__reversed__(self) if not self._is_seed(name)])

    def __len__(self) -> int:
        bound = map(dict.get, repeat(self), self._seeds, repeat(_ABSENT))
        return dict.__len__(self) - sum(map(operator.is_, bound, self._seeds.values()))

    def __bool__(self) -> bool:
        return True  # `user_ns or {}` in somebody's code must not lose it

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return KeysView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return ItemsView(self)

    def get(self, name: str, default: Any = None) -> Any:
        return dict.get(self, name, default) if name in self else default

    def pop(self, name: str, *default: Any) -> Any:
        if name in self:
            return dict.pop(self, name)
        if default:
            return default[0]
        raise KeyError(name)

    def popitem(self) -> tuple[str, Any]:
        for name in reversed(self):
            return name, dict.pop(self, name)
        raise KeyError("popitem(): dictionary is empty")

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            dict.__setitem__(self, name, default)
        return dict.__getitem__(self, name)

    def clear(self) -> None:
        dict.clear(self)
        self.seed()

    def copy(self) -> dict[str, Any]:
        """A plain dict; a library's own copy, in which it will look names up (pandas: `df.query(text)`), can ask as we do."""
        found = self._items()
        return found if sys._getframe(1).f_globals is self or self.fetch is None else _Copy(found, self)

    def _items(self) -> dict[str, Any]:
        return dict(self.items())

    __copy__ = _items

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self._items(),)

    def __eq__(self, other: object) -> bool:
        return self is other or self._items() == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: Any) -> Any:
        return self._items() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._items()

    def __repr__(self) -> str:
        return repr(self._items())


class _Copy(dict[str, Any]):
    __slots__ = ("_namespace",)

    def __init__(self, values: dict[str, Any], namespace: Namespace) -> None:
        super().__init__(values)
        self._namespace = namespace

    def __missing__(self, name: str) -> Any:
        if name in vars(builtins):  # no copy of the notebook's names has these
            raise KeyError(name)
        self[name] = value = self._namespace._ask(name)
        return value

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)


class MainModule(ModuleType):
    """`sys.modules['__main__']`: a module whose `__dict__` is the namespace.

    A real module's dict cannot be replaced, so attribute access goes around it; pickle, typing.get_type_hints,
    dataclasses and multiprocessing look names up here.
    """

    def __init__(self, namespace: Namespace) -> None:
        super().__init__("__main__", "The notebook's namespace on the target")
        super().__setattr__("_namespace", namespace)
        namespace.setdefault("__name__", "__main__")

    @property
    def __dict__(self) -> Namespace:  # type: ignore[override]
        namespace: Namespace = super().__getattribute__("_namespace")
        return namespace

    def __getattr__(self, name: str) -> Any:
        namespace = self.__dict__
        # inspect asks each module for its file whenever an error is shown: that is no cell's doing.
        if name not in namespace and (hasattr(builtins, name) or name == "__file__"):
            self._fail(name)
        try:
            return namespace[name]
        except KeyError:
            self._fail(name)

    def _fail(self, name: str) -> NoReturn:
        raise AttributeError(f"module '__main__' has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self.__dict__:
            self._fail(name)
        del self.__dict__[name]

    def __dir__(self) -> list[str]:
        return sorted(self.__dict__)

    def __reduce__(self) -> Any:
        return importlib.import_module, ("__main__",)  # each side's own, as any module's
