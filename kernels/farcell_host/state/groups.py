"""Components: names whose values share objects, directly or through others."""

from __future__ import annotations

from .dumps import Part
from .payload import LARGE_BYTES

_PLAIN = -1


def components(parts: list[Part]) -> list[list[Part]]:
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
        plain = not part.print.ids and part.size_bytes < LARGE_BYTES
        for key in (_PLAIN,) if plain else part.print.ids:
            parent[find(index)] = find(first.setdefault(key, index))
    groups: dict[int, list[Part]] = {}
    for index, part in enumerate(parts):
        groups.setdefault(find(index), []).append(part)
    return list(groups.values())
