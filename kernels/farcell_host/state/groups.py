"""Components: names whose values share objects, directly or through others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType

from .dumps import Part
from .fixed import is_fixed
from .payload import LARGE_BYTES

_PLAIN = -1


def all_ids(part: Part) -> Iterable[int]:
    """Of all objects that the part reaches."""
    return part.print.ids


def changeable_ids(part: Part) -> Iterable[int]:
    """Of those whose changes are seen by all who hold them."""
    return [id(obj) for _, obj in part.objects if not is_fixed(type(obj))]


def data_ids(part: Part) -> Iterable[int]:
    """The same, without classes and functions: each side has its own of these."""
    return [id(obj) for _, obj in part.objects if not is_fixed(type(obj)) and not isinstance(obj, type | FunctionType)]


def that_share(parts: list[Part]) -> list[list[Part]]:
    """Parts joined by the data that they share; those that hold none alone."""
    found = components(parts, data_ids)
    return [each for group in found for each in ([group] if data_ids(group[0]) else [[part] for part in group])]


def components(parts: list[Part], ids_of: Callable[[Part], Iterable[int]] = all_ids) -> list[list[Part]]:
    """Parts joined by the objects they share; small values that hold no object at all go together too."""
    if len(parts) < 2:
        return [parts] if parts else []
    parent = list(range(len(parts)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[int, int] = {}
    for index, part in enumerate(parts):
        ids = ids_of(part)
        plain = not ids and part.size_bytes < LARGE_BYTES
        for key in (_PLAIN,) if plain else ids:
            parent[find(index)] = find(first.setdefault(key, index))
    groups: dict[int, list[Part]] = {}
    for index, part in enumerate(parts):
        groups.setdefault(find(index), []).append(part)
    return list(groups.values())
