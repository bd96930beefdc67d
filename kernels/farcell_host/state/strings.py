"""Many strings as one text and their lengths: a pickle would remember each of them, which takes longer than all the rest."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import Any

Packed = tuple[str, bytes, dict[int, Any]]
"""(text, lengths in characters as `array("I")`, what stands between the strings by index)."""

_FEWEST = 256


def pack(items: list[Any]) -> list[Any] | Packed:
    """The items themselves where it would not pay: they are few, few of them are strings, or many the same string."""
    sample = items[:: len(items) // _FEWEST + 1]
    if len(items) < _FEWEST or len(set(map(id, sample))) * 2 < len(sample) or str not in map(type, sample):
        return items
    others: dict[int, Any] = {}
    strings = items
    if set(map(type, items)) != {str}:
        others = {index: item for index, item in enumerate(items) if type(item) is not str}
        if len(others) * 4 > len(items):
            return items
        strings = [item for item in items if type(item) is str]
    return "".join(strings), array("I", map(len, strings)).tobytes(), others


def unpack(packed: list[Any] | Packed) -> list[Any]:
    """The items that were packed."""
    if isinstance(packed, list):
        return packed
    text, lengths, others = packed
    ends = list(accumulate(array("I", lengths)))
    strings = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    if not others:
        return strings
    following = iter(strings)
    return [others[index] if index in others else next(following) for index in range(len(strings) + len(others))]
