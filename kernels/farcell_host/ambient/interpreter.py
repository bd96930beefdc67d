"""The recursion limit, and how long the text of an int may be."""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider
from .watch import Watch


class Interpreter(Provider):
    name = "interpreter"

    def watch(self) -> Watch:
        digits = getattr(sys, "get_int_max_str_digits", None)
        return Watch(sys.getrecursionlimit, *filter(None, [digits]))

    def take(self) -> Any:
        digits = getattr(sys, "get_int_max_str_digits", None)  # not in the first releases of 3.10
        return sys.getrecursionlimit(), digits() if digits is not None else None

    def put(self, content: Any) -> None:
        limit, digits = content
        sys.setrecursionlimit(limit)
        if digits is not None and hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(digits)
