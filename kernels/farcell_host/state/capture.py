"""Walk names: dump each once, and add the names that notebook functions met in values use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CodeType, ModuleType
from typing import Any

from .deep import is_too_deep
from .dumps import Part, Print, dump_name
from .errors import CannotTravel
from .handmade import is_handmade
from .loggers import Looks, is_list
from .modules import REPLACED, REPLACED_HINT, HasState, is_replaced, local_module, pseudo_name
from .patches import PATCHES
from .placeholders import DELETED, Placeholder
from .places import Places
from .refusals import Refused, narrow, path_to, reason_of
from .uses import EVERYTHING, nested

_OF_IPYTHON = frozenset({"get_ipython", "exit", "quit", "In", "Out", "open", "_", "__", "___", "_i", "_ii", "_iii"})
_NUMBERED = re.compile(r"_i?\d+$|_[ido]h$|__\w+__$")


def is_of_ipython(name: str) -> bool:
    """Names that every kernel has of its own: they never travel by being used in a function."""
    return name in _OF_IPYTHON or bool(_NUMBERED.match(name))


def dump_or_refuse(name: str, value: Any, reason: str, kept: dict[int, int]) -> Part:
    """Pass 1; what cannot be dumped becomes CannotTravel with the path that leads to it."""
    if issubclass(type(value), ModuleType) and not is_handmade(value):
        if is_replaced(value):
            raise CannotTravel(name, name, REPLACED, REPLACED_HINT)
        is_own = local_module(value.__name__) is not None
        return Part(
            name, value, reason, Print(f"module {value.__name__}".encode(), (), ()), modules={value.__name__} if is_own else set()
        )
    try:
        return dump_name(name, value, reason, kept)
    except Refused as refused:
        path = path_to(value, name, refused.culprit)
        raise CannotTravel(name, path, refused.reason, refused.hint) from None
    except Exception as error:
        if is_too_deep(error):  # which every part but the deepest is: each would be dumped anew
            raise CannotTravel(name, name, reason_of(error, value)) from error
        path, culprit, inner = narrow(value, name, lambda part: _failure(part, kept))
        raise CannotTravel(name, path, reason_of(inner or error, culprit)) from error


def _failure(value: Any, kept: dict[int, int]) -> BaseException | None:
    try:
        dump_name("", value, "", kept)
    except Exception as error:
        return error
    return None


def dump_module(seen: HasState, kept: dict[int, int]) -> Part:
    """Its state, without what cannot travel: the peer has its own of that."""
    name = pseudo_name(seen.module.__name__)
    try:
        return dump_name(name, seen.state, "", kept)
    except Exception:
        for attribute, value in seen.data().items():
            if _failure(value, kept) is not None:
                seen.stuck[attribute] = id(value)
        return dump_name(name, seen.state, "", kept)


class Walk:
    """A worklist of names."""

    def __init__(self, places: Places, kept: dict[int, int], uses: Callable[[CodeType], Iterable[str]], looks: Looks) -> None:
        self._places, self._namespace, self._kept, self._uses, self._looks = places, places.namespace, kept, uses, looks
        self._reasons: dict[str, str] = {}
        self._optional: set[str] = set()
        self._found: dict[str, Part] = {}
        self._waiting: list[str] = []
        self._modules: list[HasState] = []
        self.missing: list[str] = []
        self.modules: set[str] = set()
        """Modules of the notebook's own that were met."""

    def add_module(self, seen: HasState) -> None:
        self._modules.append(seen)

    def add(self, name: str, reason: str, optional: bool = False) -> None:
        """An optional name that cannot travel is left out; it is asked for again when it was needed after all.

        What its functions use is as optional as it is."""
        if name in self._reasons and (optional or name not in self._optional):
            return
        if optional:
            self._optional.add(name)
        else:
            self._optional.discard(name)
        self._reasons[name] = reason
        if name in self._places:
            self._waiting.append(name)
        elif name not in self.missing:
            self.missing.append(name)

    def parts(self) -> Iterator[tuple[str, Part]]:
        for seen in self._modules:
            part = dump_module(seen, self._kept)
            yield part.name, part
            self._meet(part, optional=True)
        while self._waiting:
            name = self._waiting.pop(0)
            optional = name in self._optional
            if name not in self._found:
                try:
                    self._found[name] = self._dump(name)
                except CannotTravel:
                    if optional:
                        continue
                    raise
                yield name, self._found[name]
            part = self._found[name]
            self._meet(part, optional)
            if isinstance(part.value, ModuleType) and not optional:
                self._refuse_stuck(name, part.value)

    def _dump(self, name: str) -> Part:
        if self._reasons[name] == DELETED:
            return dump_or_refuse(name, Placeholder.OF_A_VALUE, DELETED, self._kept)
        value = self._places[name]
        dump = partial(dump_or_refuse, name, value, self._reasons[name], self._kept)
        return self._looks.part(name, value, self._kept, dump) if is_list(name) else dump()

    def _refuse_stuck(self, name: str, module: ModuleType) -> None:
        """What the notebook has set on a library's module that the cell reads goes along, or the cell is refused."""
        patched = PATCHES.of(module.__name__)
        for path, key in patched.stuck.items() if patched is not None else ():
            value = patched.now(path)  # type: ignore[union-attr]
            if id(value) == key:
                dump_or_refuse(f"{name}.{path}", value, self._reasons[name], self._kept)

    def _meet(self, part: Part, optional: bool) -> None:
        self.modules |= part.modules
        for code in part.codes:
            self._follow(code, optional)

    def _follow(self, code: CodeType, optional: bool) -> None:
        used = _uses_of(code, self._uses)
        if EVERYTHING in used:
            used = frozenset(self._namespace)
        named = {name for part in nested(code) for name in part.co_names}
        for name in sorted(name for name in used if name in self._namespace):
            if not is_of_ipython(name):
                # One of all names, or a word in a string: it may not be read at all.
                self.add(name, f"used by {code.co_name}", optional or name not in named)


_USES: dict[tuple[int, int], tuple[CodeType, frozenset[str]]] = {}


def _uses_of(code: CodeType, uses: Callable[[CodeType], Iterable[str]]) -> frozenset[str]:
    key = (id(code), id(uses))
    if key not in _USES:
        _USES[key] = (code, frozenset(uses(code)))
    return _USES[key][1]
