"""Targets that appear by themselves: what the broker of `FARCELL_BROKER_URL` lends to this user.

A JupyterHub sets the variable for its servers, whose own token the broker knows. The list is asked for in the background and
kept for a minute; only the first time is it waited for, and not long: who works elsewhere must not notice the broker's end.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
import time
from dataclasses import dataclass

from ...errors import FarcellError
from ...threads import loop_thread
from .client import BrokerClient

URL, TOKEN_FILE = "FARCELL_BROKER_URL", "FARCELL_BROKER_TOKEN_FILE"
FRESH_S = 60.0
FAILED_S = 10.0
FIRST_S = 5.0


@dataclass(frozen=True)
class Offers:
    """`number` is another one whenever something has changed. `fault` says why they are not known, or not as they are now."""

    url: str = ""
    token_file: str | None = None
    names: tuple[str, ...] = ()
    of_data: tuple[str, ...] = ()
    """Those whose policy says `trust = "data"`."""
    fault: str | None = None
    number: int = 0


class Shelf:
    """What was offered last; from any thread."""

    def __init__(self, url: str, token_file: str | None) -> None:
        self._client = BrokerClient(url, token_file)
        self._offers = Offers(url, token_file)
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._asking: concurrent.futures.Future[None] | None = None

    def look(self) -> Offers:
        with self._lock:
            is_first = self._asked_at == 0.0
            fresh_s = FAILED_S if self._offers.fault else FRESH_S
            if self._asking is None and (is_first or time.monotonic() - self._asked_at > fresh_s):
                self._asked_at = time.monotonic()
                self._asking = loop_thread().submit(self._ask())
            asking = self._asking
        if asking is not None and self._offers.number == 0 and threading.current_thread() is not loop_thread().thread:
            concurrent.futures.wait([asking], FIRST_S)
        return self._offers

    async def _ask(self) -> None:
        names, of_data, fault = self._offers.names, self._offers.of_data, None
        try:
            told = (await self._client.get("api/targets", 2 * FIRST_S))["targets"]
            names = tuple(str(each["name"]) for each in told)
            of_data = tuple(str(each["name"]) for each in told if each.get("trust") == "data")
        except (FarcellError, OSError, ValueError, KeyError, TypeError) as error:
            fault = str(error)
        with self._lock:
            before = self._offers
            if (names, of_data, fault) != (before.names, before.of_data, before.fault) or before.number == 0:
                self._offers = Offers(before.url, before.token_file, names, of_data, fault, before.number + 1)
            self._asking = None


_shelf: tuple[tuple[int, str, str | None], Shelf] | None = None


def offers() -> Offers:
    """None where no broker is named."""
    global _shelf
    url, token_file = os.environ.get(URL), os.environ.get(TOKEN_FILE)
    if not url:
        return Offers()
    key = (os.getpid(), url, token_file)
    if _shelf is None or _shelf[0] != key:
        _shelf = (key, Shelf(url, token_file))
    return _shelf[1].look()
