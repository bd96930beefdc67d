"""The locale, where the other side has one of that name."""

from __future__ import annotations

import _locale
import contextlib
import locale
from functools import partial
from typing import Any

from .provider import Provider
from .watch import Watch


class Locales(Provider):
    name = "locale"

    def watch(self) -> Watch:
        return Watch(partial(_locale.setlocale, locale.LC_ALL, None))

    def take(self) -> Any:
        return locale.setlocale(locale.LC_ALL)

    def put(self, content: Any) -> None:
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, content)
