"""The broker's HTTP server: its routes, how it starts and how it ends. No host ends with it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from . import handlers, pages, records_handlers, shares_handlers
from .audit import Audit
from .auth import FRESH_S, Gate, HubGate, Remembering
from .broker import Broker
from .errors import BrokerError
from .hosts import Hosts
from .leases import Leases
from .limits import Limits
from .members import keep_up
from .metrics import Metrics
from .news import News
from .policy import PolicyFile
from .relay import MESSAGE_BYTES, PING_S
from .streams import StreamHandler
from .tokens import TokenFile

if TYPE_CHECKING:
    from jupyterhub.services.auth import HubOAuth

THREADS = 8
BODY_BYTES = 256 << 10
ID = r"([A-Za-z0-9_-]{1,64})"
RESTARTED = 1012
"""RFC 6455's registry: "Service Restart"."""

log = logging.getLogger("farcell.broker")


@dataclass(frozen=True)
class Settings:
    """How this broker is run. `tokens` is for one without a hub."""

    policy: Path
    database: str
    state_dir: Path
    url: str = "http://127.0.0.1:8086/"
    tokens: Path | None = None
    has_hub: bool = False
    certificate: Path | None = None
    key: Path | None = None

    @property
    def prefix(self) -> str:
        path = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") if self.has_hub else urlsplit(self.url).path
        return (path or "/").rstrip("/") + "/"


def application(broker: Broker, oauth: HubOAuth | None = None) -> Application:
    """All routes below the broker's prefix; `oauth` is how browsers log in."""
    limits = Limits()
    arguments = {"broker": broker, "limits": limits}
    routes: list[tuple[str, Any]] = [
        (r"api/openapi.json", handlers.Document),
        (r"api/me", handlers.Me),
        (r"api/targets", handlers.Targets),
        (r"api/leases", handlers.Leases),
        (rf"api/leases/{ID}", handlers.OneLease),
        (rf"api/leases/{ID}/journal", handlers.LeftJournal),
        (rf"api/leases/{ID}/stream", StreamHandler),
        (r"api/usage", handlers.Usage),
        (r"api/audit", handlers.Audit),
        (r"api/accounts", records_handlers.Accounts),
        (r"metrics", records_handlers.Numbers),
        (r"api/shares", shares_handlers.SharesHandler),
        (rf"api/shares/{ID}", shares_handlers.OneShare),
        (rf"api/shares/{ID}/values", shares_handlers.Values),
    ]
    routes += pages.routes(oauth)
    routes += [(r".*", handlers.Nothing)]
    return Application(
        [(broker.prefix + path, handler, arguments) for path, handler in routes],
        default_handler_class=handlers.Nothing,
        default_handler_args=arguments,
        websocket_max_message_size=MESSAGE_BYTES,
        websocket_ping_interval=PING_S,
        websocket_ping_timeout=0,  # a held back client does not read our pings: who is gone is found by TCP and by the host
        cookie_secret=os.urandom(32),  # who is logged in logs in anew after a restart, without being asked
        metrics=Metrics(broker.leases, broker.policy, time.time, broker.policy_fault),
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"path": broker.prefix},
        log_function=_log_request,
        compress_response=False,
    )


def _log_request(handler: Any) -> None:
    """Who, what and how long: no query, no header, no body."""
    status, who = handler.get_status(), getattr(getattr(handler, "who", None), "name", "") or "-"
    level = logging.DEBUG if status < 400 else logging.INFO if status < 500 else logging.ERROR
    milliseconds = 1000 * handler.request.request_time()
    log.log(level, "%d %s %s %s %.1f ms", status, handler.request.method, handler.request.path, who, milliseconds)


def gate_of(settings: Settings) -> Gate:
    """The hub that has started this service, or the file of tokens."""
    if settings.has_hub:
        from jupyterhub.services.auth import HubAuth

        return HubGate(HubAuth())
    if settings.tokens is None:
        raise BrokerError("The broker knows nobody: start it as a service of a JupyterHub, or with --tokens FILE.")
    return TokenFile(settings.tokens)


def oauth_of(settings: Settings) -> HubOAuth | None:
    """How browsers log in: by the hub, which is asked again after `FRESH_S`. A token in a URL is none."""
    if not settings.has_hub:
        return None
    from jupyterhub.services.auth import HubOAuth

    return HubOAuth(allow_token_in_url=False, cache_max_age=int(FRESH_S))


class Service:
    """One running broker; `async with` it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        policies = PolicyFile(settings.policy, log.warning)
        pool = ThreadPoolExecutor(THREADS, "farcell-broker")
        leases = Leases(settings.database, policies.current)
        hosts = Hosts(policies.current().targets)
        gate = Remembering(gate_of(settings))
        audit = Audit(leases.database, time.time)
        self.broker = Broker(leases, hosts, audit, policies.current, gate, News(), pool, settings.prefix, lambda: policies.fault)
        self.port = 0
        self._pool = pool

    async def __aenter__(self) -> Service:
        where = urlsplit(self.settings.url)
        secure = where.scheme == "https" and self.settings.certificate is not None
        tls = {"certfile": str(self.settings.certificate), "keyfile": str(self.settings.key)} if secure else None
        self._server = HTTPServer(
            application(self.broker, oauth_of(self.settings)), ssl_options=tls, max_body_size=BODY_BYTES, xheaders=False
        )
        sockets = bind_sockets(where.port or 0, where.hostname)
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)
        self._going_on = [asyncio.ensure_future(work) for work in (self.broker.supervisor.run(), keep_up(self.broker))]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.stop()
        for each in self._going_on:
            each.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        await self.broker.supervisor.close()
        for relays in list(self.broker.relays.values()):
            for relay in tuple(relays):
                relay.close(RESTARTED, "the broker is restarted")
        await self._server.close_all_connections()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.broker.leases.database.close()


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    async with Service(settings) as service:
        print(f"farcell-broker listens on port {service.port}, prefix {settings.prefix}", flush=True)
        await ending.wait()
