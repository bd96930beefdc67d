"""From HTTP to a checked request, and from an answer or a fault to JSON.

Nobody is known by a cookie here, so no page of another site can ask anything in a user's name, and XSRF tokens would guard
nothing; the broker's own pages (`pages.py`) have both.
"""

from __future__ import annotations

import contextlib
import json
import logging
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
from time import monotonic
from typing import Any, TypeVar
from zlib import crc32

from farcell_host.waiting import within
from pydantic import BaseModel, ValidationError
from tornado.web import HTTPError, RequestHandler

from . import schemas
from .auth import Unanswered, token_of
from .broker import Broker
from .errors import Away, BrokerError, DatabaseError, Forbidden, NoSuchLease, NoSuchShare, PolicyError, Refused, Stale
from .lease import Lease, Request, State, Who
from .limits import Limits, TooMany
from .openapi import document
from .tokens import TokensError

M = TypeVar("M", bound=BaseModel)
STATUS: Mapping[type[BrokerError], int] = {
    Refused: 409,
    Forbidden: 403,
    NoSuchLease: 404,
    NoSuchShare: 404,
    Stale: 409,
    TooMany: 429,
    Unanswered: 503,
    Away: 503,
    DatabaseError: 503,
    PolicyError: 503,
    TokensError: 503,
}
LOOK_S = 5.0
"""Another process of the broker may have changed what is waited for."""
NO_HEADER = "This API is asked with a token in the Authorization header, and in no other way."

log = logging.getLogger("farcell.broker")


class ApiHandler(RequestHandler):
    """Knows who asks before anything else is looked at."""

    is_for_admins = False

    def initialize(self, broker: Broker, limits: Limits) -> None:
        """Called by tornado for each request."""
        self.broker, self.limits = broker, limits
        self.who = Who("")
        self.token = ""

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
        self.clear_header("Server")

    def check_xsrf_cookie(self) -> None:
        """A request that a browser could make by itself has no Authorization header, and is refused for that."""

    async def prepare(self) -> None:
        token = token_of(self.request.headers.get("Authorization"))
        try:
            who = await self.broker.gate.identify(token) if token is not None else None
            if token is None or who is None:
                self.set_header("WWW-Authenticate", "Bearer")
                text = NO_HEADER if token is None else "This token is unknown, has expired, or is not for the broker."
                return self._fail(401, "token", text)
            self.token, self.who = token, self.broker.known(who)
            self.limits.take(self.who.name)
            if self.is_for_admins and not self.who.is_admin:
                raise Forbidden("This is for administrators.")
        except BrokerError as error:
            self._refuse(error)

    def _fail(self, status: int, code: str, message: str) -> None:
        self.set_status(status)
        self.finish(json.dumps({"error": {"code": code, "message": message}}))

    def _refuse(self, error: BrokerError) -> None:
        if isinstance(error, TooMany):
            self.set_header("Retry-After", str(max(1, round(error.retry_s))))
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
        self._fail(status, error.code, str(error))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by tornado for what a method has raised."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, BrokerError):
            return self._refuse(error)
        if status_code == 405:
            implemented = [each for each in ("GET", "POST", "DELETE") if each.lower() in type(self).__dict__]
            self.set_header("Allow", ", ".join(implemented))
        message = error.log_message if isinstance(error, HTTPError) and error.log_message else self._reason
        self._fail(status_code, "http" if status_code < 500 else "internal", str(message))

    def _request_summary(self) -> str:
        """Called by tornado for its log. Without the query: somebody may have put a token there."""
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Called by tornado. What was refused is no fault of the broker's."""
        if not isinstance(value, BrokerError):
            super().log_exception(typ, value, tb)

    def query(self, model: type[M]) -> M:
        given: dict[str, Any] = {}
        for name, values in self.request.query_arguments.items():
            given[name] = values[-1].decode(errors="replace")
        return self._checked(model, given)

    def body(self, model: type[M]) -> M:
        try:
            given = json.loads(self.request.body)
        except ValueError:
            raise HTTPError(400, "The body is no JSON.") from None
        return self._checked(model, given)

    def _checked(self, model: type[M], given: Any) -> M:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            raise HTTPError(400, schemas.faults(error.errors()).replace("%", "%%")) from None

    def answer(self, told: Any, status: int = 200) -> None:
        self.set_status(status)
        self.finish(json.dumps(told))

    async def lease(self, id: str) -> Lease:
        """One of the user's own, or any for an administrator; another's is as good as none."""
        lease: Lease = await self.broker.call(self.broker.leases.get, id)
        if lease.user != self.who.name and not self.who.is_admin:
            raise NoSuchLease(f"There is no lease {id!r}.")
        return lease

    def told(self, lease: Lease) -> dict[str, Any]:
        """A lease as its user is told of it: how the host is found is the broker's own business."""
        host = lease.host or {}
        target = self.broker.policy().targets.get(lease.target)
        seen = f"{lease.state}.{lease.fence}.{lease.place}.{lease.warned_at}.{crc32((lease.reason or '').encode()):x}"
        fields = ("id", "key", "user", "target", "gpus", "fence", "asked_at", "granted_at", "ends_at", "reason", "place")
        return {
            **{name: getattr(lease, name) for name in (*fields, "notebook", "warned_at", "ended_at")},
            "devices": list(lease.devices),
            "state": str(lease.state),
            "seen": seen,
            "runtime": host.get("runtime"),
            "pid": host.get("pid"),
            "isolation": target.isolation if target is not None else None,
            "notices": _notices(lease, target.isolation if target is not None else None),
        }


def _notices(lease: Lease, isolation: str | None) -> list[str]:
    if isolation != "none":
        return []
    return ['everybody with a lease there runs as one Unix account: what you do there can be read by them (isolation "none").']


class Nothing(ApiHandler):
    """All paths that are none."""

    async def prepare(self) -> None:
        await super().prepare()
        if not self._finished:
            self._fail(404, "not-found", "There is nothing here.")


class Document(ApiHandler):
    async def get(self) -> None:
        self.answer({**document(), "servers": [{"url": f"{self.broker.prefix}api"}]})


class Me(ApiHandler):
    async def get(self) -> None:
        self.answer({"name": self.who.name, "groups": sorted(self.who.groups), "is_admin": self.who.is_admin})


class Targets(ApiHandler):
    async def get(self) -> None:
        policy = self.broker.policy()
        allowance = policy.allowance(self.who.name, self.who.groups)
        told = []
        for name in allowance.targets:
            target = policy.targets[name]
            told.append(
                {
                    "name": name,
                    "gpus": len(target.device_indexes),
                    "slots": target.slots,
                    "isolation": target.isolation,
                    "price_per_gpu_hour": target.price_per_gpu_hour,
                    "price_per_hour": target.price_per_hour,
                    "max_gpus": allowance.gpus,
                    "max_walltime_s": allowance.max_walltime_s,
                    "trust": target.trust,
                }
            )
        self.answer({"currency": policy.currency, "targets": told})


class Leases(ApiHandler):
    async def get(self) -> None:
        query = self.query(schemas.Listing)
        if query.all and not self.who.is_admin:
            raise Forbidden("Other users' leases are for administrators.")
        leases = self.broker.leases
        found = await (self.broker.call(leases.all) if query.all else self.broker.call(leases.of, self.who.name))
        told = [self.told(lease) for lease in found if lease.state is not State.ENDED]
        if query.status:
            usable = {lease.id: lease for lease in found if lease.host is not None}
            for each in told:
                if each["id"] in usable and each["user"] == self.who.name:
                    each["status"] = await self._status(usable[each["id"]])
        left = {"left": await self._left()} if query.left else {}
        self.answer({"leases": told, **left})

    async def _left(self) -> list[dict[str, Any]]:
        """One's own that are over and of whose runs something is kept."""
        found = []
        for kept in await self.broker.call(self.broker.journals.of, self.who):
            lease = await self.lease(kept.lease_id)
            if lease.state is State.ENDED:  # what is there still tells it itself
                fields = {"runs": kept.runs, "saved": kept.saved, "is_whole": kept.is_whole, "expires_at": kept.expires_at}
                found.append({**self.told(lease), **fields})
        return found

    async def _status(self, lease: Lease) -> Any:
        with contextlib.suppress(Exception):
            return await self.broker.hosts.status(lease.host or {})
        return None

    async def post(self) -> None:
        asked = self.body(schemas.LeaseRequest)
        target = self.broker.policy().targets.get(asked.target)
        gpus = asked.gpus if asked.gpus is not None else int(target is not None and bool(target.device_indexes))
        request = Request(asked.key, asked.target, gpus, asked.walltime_s, asked.notebook)
        lease = await self.broker.call(self.broker.leases.ask, self.who, request)
        self.broker.supervisor.wake()
        self.answer(self.told(lease), 201)


class OneLease(ApiHandler):
    async def get(self, id: str) -> None:
        query = self.query(schemas.Look)
        with self.limits.held(self.who.name, "questions that wait"):
            self.answer(await self._changed(id, query))

    async def _changed(self, id: str, query: schemas.Look) -> dict[str, Any]:
        """As it is, once that is not what was `seen`, or the time is up."""
        deadline = monotonic() + query.wait_s
        while True:
            news = self.broker.news.next
            told = self.told(await self.lease(id))
            left = deadline - monotonic()
            if told["seen"] != query.seen or left <= 0 or self._gone:
                return told
            await within(news, min(left, LOOK_S))

    _gone = False

    def on_connection_close(self) -> None:
        """Called by tornado when nobody waits for the answer any more."""
        self._gone = True
        super().on_connection_close()

    async def delete(self, id: str) -> None:
        await self.lease(id)
        lease = await self.broker.call(self.broker.leases.cancel, self.who, id)
        await self.broker.call(self.broker.journals.forget, self.who, id)
        self.broker.close_streams(lease, lease.reason or "the lease was given back")
        self.broker.news.tell()
        self.broker.supervisor.wake()
        self.answer(self.told(lease))


class LeftJournal(ApiHandler):
    """Its own user's alone: an administrator may end a lease, and not look into it."""

    async def get(self, id: str) -> None:
        kept = await self.broker.call(self.broker.journals.read, self.who, id)
        self.answer({"runs": kept.runs, "is_whole": kept.is_whole, "zlib": b64encode(kept.data or b"").decode()})


class Usage(ApiHandler):
    async def get(self) -> None:
        standing = await self.broker.call(self.broker.leases.standing, self.who)
        told = {**asdict(standing), "leases": [self.told(lease) for lease in standing.leases]}
        self.answer({**told, "currency": self.broker.policy().currency, "fault": self.broker.supervisor.fault})


class Audit(ApiHandler):
    is_for_admins = True

    async def get(self) -> None:
        query = self.query(schemas.AuditQuery)
        found = await self.broker.call(lambda: self.broker.audit.entries(**query.model_dump()))
        self.answer({"entries": [asdict(entry) for entry in found]})
