"""The current decimal context."""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider


class Decimals(Provider):
    name = "decimal context"
    module = "decimal"

    def take(self) -> Any:
        return sys.modules["decimal"].getcontext().__reduce__()[1]

    def put(self, content: Any) -> None:
        decimal: Any = sys.modules["decimal"]
        there, here = decimal.Context(*content), decimal.getcontext()
        for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "flags", "traps"):
            setattr(here, name, getattr(there, name))
