"""warnings.filters. A filter for a category that the other side has not imported stays behind."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from .provider import Provider


class WarningFilters(Provider):
    name = "warning filters"

    def stamp(self) -> Any:
        return warnings.filters.copy()  # type: ignore[attr-defined, unused-ignore]

    def take(self) -> Any:
        return {"all": [_described(each) for each in warnings.filters]}

    def take_since(self, stamp: Any) -> Any:
        now = warnings.filters
        first = next((index for index, each in enumerate(now) if each in stamp), len(now))
        return {
            "cleared": first == len(now),  # also of what only the other side has
            "gone": [_described(each) for each in stamp if each not in now],
            "before": [_described(each) for each in now[:first]],
            "behind": [_described(each) for each in now[first:] if each not in stamp],
        }

    def put(self, content: Any) -> None:
        here = list(warnings.filters)
        if "all" in content:
            # Of the filters that libraries add when they are imported, each side has those of its own imports.
            own = [each for each in here if _module_of(each[2]) != "builtins" and _described(each) not in content["all"]]
            now = [*_known(content["all"]), *own]
        else:
            # An import of this side's may have put some of those before already where they belong.
            left = [*content["gone"], *content["before"]]
            kept = [each for each in here if not content["cleared"] and _described(each) not in left]
            now = [*_known(content["before"]), *kept, *_known(content["behind"])]
        filters: Any = warnings.filters
        filters[:] = now
        warnings._filters_mutated()  # type: ignore[attr-defined]


def _known(descriptions: Iterable[Any]) -> list[Any]:
    return [found for found in map(_restored, descriptions) if found is not None]


def _module_of(category: Any) -> str:
    return str(category.__module__)


def _described(each: Any) -> Any:
    action, message, category, module, line = each
    return action, _pattern(message), (_module_of(category), category.__qualname__), _pattern(module), line


def _pattern(pattern: Any) -> Any:
    return (pattern.pattern, pattern.flags) if isinstance(pattern, re.Pattern) else pattern


def _restored(described: Any) -> Any:
    action, message, (module, name), where, line = described
    category: Any = sys.modules.get(module)
    for part in name.split("."):
        category = getattr(category, part, None)
    if not isinstance(category, type):
        return None
    return action, _compiled(message), category, _compiled(where), line


def _compiled(pattern: Any) -> Any:
    return re.compile(*pattern) if isinstance(pattern, (tuple, list)) else pattern
