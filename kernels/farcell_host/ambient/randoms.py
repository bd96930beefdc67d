"""The state of `random`'s own generator."""

from __future__ import annotations

import ctypes
import random
from typing import Any

from .provider import Provider

_WORDS = 1 + 624  # CPython's RandomObject, behind the object's head: int index; uint32_t state[624]


class Random(Provider):
    name = "random"

    def __init__(self) -> None:
        self._generator: Any = getattr(random, "_inst", None)
        self._is_readable = self._generator is not None and _words(self._generator) == _expected(self._generator)

    def stamp(self) -> Any:
        """Looks at the generator's memory where it is as expected: 1 us instead of 14."""
        if not self._is_readable:
            return self.take()
        return self._generator.gauss_next, _memory(self._generator)

    def take(self) -> Any:
        return random.getstate()

    def put(self, content: Any) -> None:
        random.setstate(content)


def _memory(generator: Any) -> bytes:
    return ctypes.string_at(id(generator) + object.__basicsize__, 4 * _WORDS)


def _words(generator: Any) -> list[int]:
    if type(generator).__basicsize__ < object.__basicsize__ + 4 * _WORDS:
        return []
    return list(memoryview(_memory(generator)).cast("I"))


def _expected(generator: Any) -> list[int]:
    *state, index = generator.getstate()[1]
    return [index, *state]
