"""The locale, where the other side has one of that name."""

from __future__ import annotations

import contextlib
import locale
from typing import Any

from .provider import Provider


class Locales(Provider):
    name = "locale"

    def take(self) -> Any:
        return locale.setlocale(locale.LC_ALL)

    def put(self, content: Any) -> None:
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, content)
