"""What tells of a provider, before anything else is looked at, that nothing has changed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from . import memory

Look = Callable[[], Any]
Lists = list[list[Any]]


class Watch:
    """Pieces of memory, and calls whose answers are compared. What one has seen stands for one stamp."""

    def __init__(self, *looks: Look) -> None:
        self.memory: list[memoryview] = []
        self.looks: list[Look] = list(looks)
        self.seen: tuple[bytes, list[Any]] = (b"", [])
        self._kept: list[Any] = []

    def body(self, obj: Any) -> None:
        self.memory.append(memory.of_body(obj))

    def dict(self, content: dict[Any, Any]) -> None:
        """Which keys and values there are; not what is in the values."""
        found = memory.of_dict(content)
        if found is None:
            self.looks.append(partial(dict.copy, content))
        else:
            self.memory.append(found)

    def attributes(self, obj: Any) -> None:
        found = memory.of_attributes(obj)
        if found is None:
            self.looks.append(vars(obj).copy)
        else:
            self.memory.append(found)

    def keep(self, obj: Any) -> None:
        """Keeps alive what the attributes of an instance are now: what comes later must not lie in the place of what has gone."""
        self._kept.append(vars(obj).copy())

    def list(self, content: list[Any]) -> None:
        """Empty lists are many, and their length says all."""
        if content:
            self.lists([content])
        else:
            self.body(content)

    def lists(self, contents: Lists) -> None:
        """Compared with copies, which does not touch items that have stayed; a new copy would count each once more."""
        self.looks.append(partial(operator.eq, contents, [content.copy() for content in contents]))

    def see(self) -> Watch:
        self.seen = (b"".join(self.memory), [look() for look in self.looks])
        return self

    @property
    def is_same(self) -> bool:
        memory, answers = self.seen
        return b"".join(self.memory) == memory and [look() for look in self.looks] == answers


class Joint:
    """Many watches, which nearly always have nothing to tell, in one comparison."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        watches = list(watches)
        self._memory = [each for watch in watches for each in watch.memory]
        self._looks = [each for watch in watches for each in watch.looks]
        self._seen = b"".join(watch.seen[0] for watch in watches), [each for watch in watches for each in watch.seen[1]]

    @property
    def is_same(self) -> bool:
        memory, answers = self._seen
        return b"".join(self._memory) == memory and [look() for look in self._looks] == answers
