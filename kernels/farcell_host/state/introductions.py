"""Telling the peer of the notebook's own modules, and finding out which objects in them are the same on both sides.

One side offers: the source, and of every attribute that holds data its digest and numbers for the objects in it, in the order in
which a dump meets them. The other one executes the source; where a dump of its own attribute gives the same digest, its objects
get these numbers. So a default argument and the attribute it was made from stay one object. What differs is told as state.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from typing import Any

from .dumps import Part, dump_name
from .hashing import digest
from .modules import MODULES, Seen, Source, load, local_module
from .objects import Table


class Introductions:
    """Of one Replica: the modules that both sides have, and in which version."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._versions: dict[str, str] = {}
        self._specs: dict[str, Any] = {}

    def known(self) -> list[Seen]:
        """Modules that both sides have in the same version."""
        found = []
        for name, version in self._versions.items():
            module = local_module(name)
            if module is not None:
                seen = MODULES.see(module)
                if seen.source.version == version:
                    found.append(seen)
        return found

    def reloaded(self) -> list[str]:
        """Modules that were executed again here since they were introduced."""
        loaded = {name: module for name in self._specs if (module := local_module(name)) is not None}
        return [name for name, module in loaded.items() if MODULES.see(module).spec is not self._specs[name]]

    def gone(self) -> list[str]:
        """Modules that are not in `sys.modules` any more, since they were introduced."""
        return [name for name in self._versions if local_module(name) is None]

    def forget(self, names: Iterable[str]) -> None:
        """The peer has these no more: they are new to it when it meets them next."""
        for name in names:
            self._versions.pop(name, None)
            self._specs.pop(name, None)

    def wanted(self, met: Iterable[str]) -> set[str]:
        """Those of the modules met, and of those known, that the peer does not have as they are here."""
        return {name for name in (*met, *self._versions) if self._is_new(name)}

    def _is_new(self, name: str) -> bool:
        module = local_module(name)
        return module is not None and MODULES.see(module).source.version != self._versions.get(name)

    def offer(self, names: Iterable[str]) -> list[dict[str, Any]]:
        numbers: dict[int, int] = {}
        offers = []
        for name in MODULES.closure(names):
            seen = MODULES.see(sys.modules[name])
            parts = self._parts(seen)
            offers.append(
                {
                    "source": dataclasses.asdict(seen.source),
                    "name": name,
                    "data": {
                        attribute: [_digest(part), [self._number(obj, numbers) for _, obj in part.objects]]
                        for attribute, part in parts.items()
                    },
                }
            )
        return offers

    def _number(self, obj: Any, offered: dict[int, int]) -> int:
        known = self._table.numbers.get(id(obj)) or offered.get(id(obj))
        if known is None:
            known = offered[id(obj)] = self._table.new_number()
        return known

    def _parts(self, seen: Seen) -> dict[str, Part]:
        """Of every attribute with data; what cannot travel is noted."""
        parts = {}
        for attribute, value in seen.data().items():
            try:
                parts[attribute] = dump_name(attribute, value, "", self._table.kept)
            except Exception:
                seen.stuck[attribute] = id(value)
        return parts

    def compare(self, offers: list[dict[str, Any]]) -> dict[str, Any]:
        """{unequal: {module: attributes}, failed: {module: why}}."""
        unequal: dict[str, list[str]] = {}
        failed: dict[str, str] = {}
        for offer in offers:
            MODULES.sources[offer["name"]] = Source(**offer["source"])
        for offer in offers:
            name, source = offer["name"], Source(**offer["source"])
            try:
                module = local_module(name)
                if module is None or MODULES.see(module).source.version != source.version:
                    load(source)
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
                continue
            finally:
                MODULES.sources.pop(name, None)
            seen = MODULES.see(sys.modules[name])
            parts = self._parts(seen)
            differing = [each for each in offer["data"].keys() | parts.keys() if not self._is_same(each, offer["data"], parts)]
            if differing:
                unequal[name] = sorted(differing)
            self._versions[name], self._specs[name] = source.version, seen.spec
        return {"unequal": unequal, "failed": failed}

    def _is_same(self, attribute: str, offered: dict[str, Any], parts: dict[str, Part]) -> bool:
        if attribute not in offered or attribute not in parts:
            return False
        theirs, numbers = offered[attribute]
        objects = [obj for _, obj in parts[attribute].objects]
        if theirs != _digest(parts[attribute]) or len(numbers) != len(objects):
            return False
        table = self._table
        for number, obj in zip(numbers, objects, strict=True):
            if table.objects.get(number, obj) is not obj or table.numbers.get(id(obj), number) != number:
                return False
        for number, obj in zip(numbers, objects, strict=True):
            table.add(number, obj)
        return True

    def agree(self, offers: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        for offer in offers:
            name = offer["name"]
            if name in answer["failed"]:
                continue
            seen = MODULES.see(sys.modules[name])
            self._versions[name] = seen.source.version
            parts = self._parts(seen)
            for attribute, (_, numbers) in offer["data"].items():
                if attribute in parts and attribute not in answer["unequal"].get(name, ()):
                    for number, (_, obj) in zip(numbers, parts[attribute].objects, strict=True):
                        self._table.add(number, obj)


def _digest(part: Part) -> str:
    return digest(part.data + b"".join(piece for pieces in part.print.buffers for piece in pieces)).hex()
