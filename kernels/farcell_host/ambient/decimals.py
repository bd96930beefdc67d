"""The current decimal context."""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider
from .watch import Watch


class Decimals(Provider):
    name = "decimal context"
    module = "decimal"

    def watch(self) -> Watch:
        context: Any = sys.modules["decimal"].getcontext()
        if type(context) is not getattr(sys.modules.get("_decimal"), "Context", None):
            return Watch(self.stamp)  # the one in Python
        watch = Watch(sys.modules["decimal"].getcontext)
        watch.body(context)
        return watch

    def take(self) -> Any:
        return sys.modules["decimal"].getcontext().__reduce__()[1]

    def put(self, content: Any) -> None:
        decimal: Any = sys.modules["decimal"]
        there, here = decimal.Context(*content), decimal.getcontext()
        for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "flags", "traps"):
            setattr(here, name, getattr(there, name))
