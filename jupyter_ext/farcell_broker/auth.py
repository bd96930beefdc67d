"""Who asks: the owner of the token in the Authorization header. Never a cookie, never a token in a URL, which logs and referrers
keep.

The hub (or the broker's own file) is asked again for as long as a token is used, so that one that was revoked or has expired is
worth nothing within `FRESH_S`. What the hub has said is kept by the token's digest, and asked for once however many want it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from .errors import BrokerError
from .lease import Who

if TYPE_CHECKING:
    from jupyterhub.services.auth import HubAuth

USE, ADMIN = "custom:farcell:use", "custom:farcell:admin"
SERVICE = "service:"
FRESH_S = 10.0
ANSWER_S = 10.0
KEPT = 10_000
"""Answers, so that guessed tokens cannot fill the memory."""
LONGEST_TOKEN = 4096
_HEADER = re.compile(r"\s*(?:token|bearer)\s+([\x21-\x7e]+)\s*", re.IGNORECASE)


class Unanswered(BrokerError):
    """The hub cannot be asked just now: nobody is known, and nobody refused."""

    code = "hub"


class Gate(Protocol):
    """Knows tokens."""

    async def identify(self, token: str) -> Who | None:
        """None for a token that is unknown, has expired, or is not for the broker; raises Unanswered."""

    async def groups_of(self, user: str) -> frozenset[str] | None:
        """As they are now, also of somebody who asks nothing; None when that cannot be told. Raises Unanswered."""

    async def has_user(self, name: str) -> bool | None:
        """None when that cannot be told. Raises Unanswered."""


def token_of(header: str | None) -> str | None:
    """Of `Authorization: token T` or `Bearer T`; None for anything else."""
    found = _HEADER.fullmatch(header or "")
    return found[1] if found is not None and len(found[1]) <= LONGEST_TOKEN else None


@dataclass
class _Known:
    who: Who | None
    asked_at: float


class Remembering:
    """A gate that asks another one, at most once in a while for the same token."""

    def __init__(self, gate: Gate, now: Callable[[], float] = time.monotonic) -> None:
        self._gate, self._now = gate, now
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[Who | None]] = {}

    async def identify(self, token: str, fresh_s: float = FRESH_S) -> Who | None:
        """By an answer that is at most so old."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._now() - known.asked_at <= fresh_s:
            return known.who
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.ensure_future(self._ask(digest, token))
        return await asyncio.shield(asking)

    async def groups_of(self, user: str) -> frozenset[str] | None:
        return await self._gate.groups_of(user)

    async def has_user(self, name: str) -> bool | None:
        return await self._gate.has_user(name)

    async def _ask(self, digest: bytes, token: str) -> Who | None:
        asked_at = self._now()
        try:
            who = await self._gate.identify(token)
        finally:
            del self._asking[digest]
        self._known[digest] = _Known(who, asked_at)
        self._known.move_to_end(digest)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return who


class HubGate:
    """Asks a JupyterHub. A token counts when it may access this service and has `custom:farcell:use`, or `:admin`."""

    def __init__(self, hub: HubAuth) -> None:
        self._hub = hub

    async def identify(self, token: str) -> Who | None:
        from tornado.web import HTTPError

        try:
            model = await self._hub.user_for_token(token, use_cache=False, sync=False)
        except (HTTPError, OSError) as error:
            raise Unanswered(f"The hub does not answer ({error}); ask again.") from None
        return who_of(model, self._hub.access_scopes) if model else None

    async def groups_of(self, user: str) -> frozenset[str] | None:
        """With the service's own token, which needs `read:users:groups`. Of a user who is no more there are none."""
        status, model = await self._asked(user)
        if status == 404:
            return frozenset()
        groups = model.get("groups")
        return None if groups is None else frozenset(map(str, groups))

    async def has_user(self, name: str) -> bool | None:
        """With `read:users:name`; by the name as the hub writes it."""
        status, model = await self._asked(name)
        return False if status == 404 else None if status == 403 else model.get("name") == name

    async def _asked(self, user: str) -> tuple[int, dict[str, Any]]:
        """200, 403 or 404, and the user's model if there is one."""
        request = HTTPRequest(
            f"{self._hub.api_url.rstrip('/')}/users/{quote(user, safe='')}",
            headers={"Authorization": f"token {self._hub.api_token}"},
            request_timeout=ANSWER_S,
        )
        try:
            response = await AsyncHTTPClient().fetch(request)
        except HTTPClientError as error:
            if error.code in (403, 404):
                return error.code, {}
            raise Unanswered(f"The hub does not say who {user!r} is ({error}).") from None
        except OSError as error:
            raise Unanswered(f"The hub does not answer ({error}).") from None
        return 200, dict(json.loads(response.body))


def who_of(model: dict[str, Any], access_scopes: set[str]) -> Who | None:
    """Of a user's model as the hub gives it (REST API, "GET /user"); None when its scopes are not enough."""
    from jupyterhub.services.auth import check_scopes

    scopes = set(model.get("scopes") or ())
    if access_scopes and not check_scopes(access_scopes, scopes):
        return None
    is_admin = bool(check_scopes({ADMIN}, scopes))
    if not is_admin and not check_scopes({USE}, scopes):
        return None
    if model.get("kind") == "service":  # has a name space of its own: never to be taken for the user of that name
        return Who(f"{SERVICE}{model['name']}", frozenset(), is_admin)
    if str(model["name"]).startswith(SERVICE):
        return None
    return Who(str(model["name"]), frozenset(model.get("groups") or ()), is_admin)
