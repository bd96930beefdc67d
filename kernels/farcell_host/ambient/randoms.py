"""The state of `random`'s own generator."""

from __future__ import annotations

import random
from typing import Any

from . import memory
from .provider import Provider
from .watch import Watch

_WORDS = 1 + 624  # CPython's RandomObject, behind the object's head: int index; uint32_t state[624]


class Random(Provider):
    name = "random"
    is_drawn_from = True

    def __init__(self) -> None:
        self._generator: Any = getattr(random, "_inst", None)
        self._is_readable = self._generator is not None and _words(self._generator) == _expected(self._generator)

    def watch(self) -> Watch:
        """Looks at the generator's memory where it is as expected."""
        if not self._is_readable:
            return Watch(self.stamp)
        watch = Watch()
        watch.body(self._generator)
        watch.dict(vars(self._generator))  # a second normal deviate, which comes out of a store
        return watch

    def take(self) -> Any:
        return random.getstate()

    def put(self, content: Any) -> None:
        random.setstate(content)


def _words(generator: Any) -> list[int]:
    body = memory.of_body(generator)
    return list(body[: 4 * _WORDS].cast("I")) if len(body) >= 4 * _WORDS else []


def _expected(generator: Any) -> list[int]:
    *state, index = generator.getstate()[1]
    return [index, *state]
