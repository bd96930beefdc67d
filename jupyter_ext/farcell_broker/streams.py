"""The WebSocket that is one stream to a lease's host.

Who may have it is asked before the upgrade, and again for as long as it is open: a token that was revoked or has expired, and a
lease that has ended, close it within a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from farcell.backends.base import Opened
from farcell.errors import TargetUnavailable
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from . import schemas
from .auth import Unanswered
from .errors import Away, BrokerError, DatabaseError, NoSuchLease, Stale
from .handlers import ApiHandler
from .lease import USABLE, Lease
from .relay import LEASE_GONE, TOKEN_GONE, Relay
from .tokens import TokensError

CHECK_S = 20.0
HUB_AWAY_S = 900.0
"""So long streams outlive a hub that cannot be asked: it may be restarted."""

log = logging.getLogger("farcell.broker")


class StreamHandler(ApiHandler, WebSocketHandler):
    """`check_origin` is tornado's: a page of another site is refused, should a browser ever come here."""

    _relay: Relay | None = None
    _opened: Any = None
    _release: Callable[[], None] | None = None
    _watching: asyncio.Task[None] | None = None

    async def get(self, id: str) -> None:
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise HTTPError(426, "This is a WebSocket.")
        query = self.query(schemas.Stream)
        lease = self._lease = await self._usable(id, query.fence)
        self._release = self.limits.hold(self.who.name, "streams")
        try:
            self._opened = await self._reach(lease)
            await super().get(id)
        finally:
            if self._relay is None:
                self._let_go()

    async def _reach(self, lease: Lease) -> Opened:
        try:
            return await self.broker.hosts.open_stream(lease.host or {})
        except (TargetUnavailable, OSError) as error:
            raise Away(f"The session of lease {lease.id} cannot be reached: {error}") from error

    async def _usable(self, id: str, fence: int) -> Lease:
        """Its own user's alone: an administrator may end it, and not look into it."""
        lease: Lease = await self.broker.call(self.broker.leases.get, id)
        if lease.user != self.who.name:
            raise NoSuchLease(f"There is no lease {id!r}.")
        if lease.state not in USABLE:
            raise Stale(f"Lease {id} is {lease.state}: {lease.reason or 'there is no session to talk to'}.")
        if lease.fence != fence:
            raise Stale(f"Lease {id} was granted anew since: its number is {lease.fence}, not {fence}.")
        return lease

    def open(self, id: str) -> None:
        self.set_nodelay(True)
        opened, self._opened = self._opened, None
        self._relay = Relay(self, opened, self._closed)
        self.broker.relays.setdefault(id, set()).add(self._relay)
        self._watching = asyncio.ensure_future(self._watch(self._relay))

    def on_message(self, message: str | bytes) -> Awaitable[object] | None:  # type: ignore[override]
        """Called by tornado, which reads on when what is returned is done."""
        if self._relay is None:
            return None
        if isinstance(message, bytes):
            return self._relay.receive(message)
        self._relay.close(1003, "messages are binary")
        return None

    def on_close(self) -> None:
        if self._relay is not None:
            self._relay.close(1000, "")

    def on_connection_close(self) -> None:
        WebSocketHandler.on_connection_close(self)

    def _closed(self, relay: Relay) -> None:
        if self._watching is not None:
            self._watching.cancel()
        streams = self.broker.relays.get(self._lease.id, set())
        streams.discard(relay)
        if not streams:
            self.broker.relays.pop(self._lease.id, None)
        self._let_go()

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.endpoint.close()
            opened.close()
        release, self._release = self._release, None
        if release is not None:
            release()

    async def _watch(self, relay: Relay) -> None:
        loop = asyncio.get_running_loop()
        hub_heard = loop.time()
        await self.broker.note(self.who, "stream.opened", self._lease, address=self.request.remote_ip)
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                who = await self.broker.gate.identify(self.token, CHECK_S)
                hub_heard = loop.time()
                if who is None or who.name != self.who.name:
                    return relay.close(TOKEN_GONE, "the token was revoked or has expired")
                await self.broker.call(self.broker.leases.seen, who)
            except DatabaseError:
                pass
            except (Unanswered, TokensError) as error:
                if loop.time() - hub_heard > HUB_AWAY_S:
                    return relay.close(TOKEN_GONE, str(error)[:100])
            try:
                await self._usable(self._lease.id, self._lease.fence)
            except DatabaseError:
                continue  # what runs goes on
            except BrokerError as error:
                return relay.close(LEASE_GONE, str(error)[:100])
