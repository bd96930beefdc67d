"""From HTTP to a checked request, and from an answer or a fault to JSON. One handler class for all paths."""

from __future__ import annotations

import json
import re
from typing import Any

from farcell_host.errors import FarcellHostError
from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from pydantic import BaseModel, ValidationError
from tornado import web

from ..errors import FarcellError, LedgerError, TargetUnavailable, UsageError
from ..everywhere import Why
from .faults import Fault, invalid
from .openapi import document
from .routes import RESOURCE, ROUTES, Request, Route
from .schemas import Problem, Snapshot
from .service import Service

API = r"farcell/api"


class ApiHandler(ExtensionHandlerMixin, APIHandler):
    """Answers for one path; `routes` by method."""

    auth_resource = RESOURCE

    def initialize(self, name: str, routes: dict[str, Route], service: Service) -> None:
        """Called by tornado for each request."""
        self.name = name
        self._routes, self._service = routes, service
        route = routes.get(str(self.request.method))
        # What a page asks by itself must not keep a server from being culled.
        self._track_activity = route is not None and route.action != "read"

    @web.authenticated
    async def get(self, **path: str) -> None:
        await self._answer(path)

    @web.authenticated
    async def post(self, **path: str) -> None:
        await self._answer(path)

    @web.authenticated
    async def put(self, **path: str) -> None:
        await self._answer(path)

    @web.authenticated
    async def delete(self, **path: str) -> None:
        await self._answer(path)

    async def _answer(self, path: dict[str, str]) -> None:
        route = self._routes.get(str(self.request.method))
        if route is None:
            raise web.HTTPError(405)
        allowed = await ensure_async(self.authorizer.is_authorized(self, self.current_user, route.action, RESOURCE))
        if not allowed:
            raise web.HTTPError(403, f"You are not allowed to {route.action} {RESOURCE} on this server.")
        try:
            answer = await route.call(self._service, Request(path, self._query(route), self._body(route)))
        except (FarcellError, FarcellHostError) as error:
            fault = _fault_of(error)
            self._finish(fault.status, fault.problem)
            return
        if isinstance(answer, Snapshot) and self._is_known(answer):
            self.set_status(304)
            await self.finish()
            return
        self._finish(route.status, answer)

    def _query(self, route: Route) -> BaseModel | None:
        if route.query is None:
            return None
        given = {name: self.get_query_argument(name) for name in route.query.model_fields if name in self.request.query_arguments}
        try:
            return route.query.model_validate(given)
        except ValidationError as error:
            raise invalid(error, "query") from None

    def _body(self, route: Route) -> BaseModel | None:
        if route.body is None:
            return None
        try:
            return route.body.model_validate_json(self.request.body or b"{}")
        except ValidationError as error:
            raise invalid(error, "body") from None

    def _is_known(self, snapshot: Snapshot) -> bool:
        tag = f'"{snapshot.server}-{snapshot.revision}"'
        self.set_header("ETag", tag)
        self.set_header("Cache-Control", "no-cache")  # it may be kept, and must be asked for
        asked = self.request.headers.get("If-None-Match", "")
        return tag in [each.strip().removeprefix("W/") for each in asked.split(",")]

    def _finish(self, status: int, answer: BaseModel | None) -> None:
        self.set_status(status)
        if answer is None:
            self.clear_header("Content-Type")
            super(APIHandler, self).finish()
        else:
            self.finish(answer.model_dump_json())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by tornado for what no route has answered: faults of the request itself, and ours, whose trace is in the log."""
        if status_code == 405:
            self.set_header("Allow", ", ".join(sorted(self._routes)))
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = (error.log_message if isinstance(error, web.HTTPError) else None) or _MESSAGES.get(status_code) or self._reason
        self.set_header("Content-Type", "application/json")
        self.finish(Problem(message=message, reason=_REASONS.get(status_code, "failed")).model_dump_json())

    def compute_etag(self) -> None:
        """Called by tornado's finish: a snapshot has a tag of its own, and a digest of all else would save nothing."""
        return


class OpenApiHandler(ExtensionHandlerMixin, APIHandler):
    auth_resource = RESOURCE
    _track_activity = False

    @web.authenticated
    async def get(self) -> None:
        allowed = await ensure_async(self.authorizer.is_authorized(self, self.current_user, "read", RESOURCE))
        if not allowed:
            raise web.HTTPError(403)
        base = self.request.path.removesuffix("/openapi.json")
        self.finish(json.dumps({**document(), "servers": [{"url": base}]}))


_MESSAGES = {
    403: "Nobody is logged in: a request needs the server's token, or its cookie and the XSRF token.",
    405: "This path does not take that method; the header Allow says which it takes.",
    500: "Something went wrong in the server extension; the server's log has the details.",
}
_REASONS = {400: "invalid", 403: "forbidden", 404: "unknown", 405: "method"}


def _fault_of(error: FarcellError | FarcellHostError) -> Fault:
    """The border at which farcell's errors become answers."""
    match error:
        case Fault():
            return error
        case UsageError():
            return Fault(400, "invalid", str(error))
        case LedgerError():
            return Fault(503, "no-ledger", str(error))
        case TargetUnavailable():
            return Fault(503, error.reason.value if error.reason.value != "unknown" else Why.UNREACHABLE.value, str(error))
        case _:
            return Fault(503, "failed", str(error))


def handlers(service: Service) -> list[tuple[str, type[APIHandler], dict[str, Any]]]:
    """For the web application; `targets/schema` stands before `targets/{name}`, as in the table."""
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = route
    found: list[tuple[str, type[APIHandler], dict[str, Any]]] = [(rf"{API}/openapi\.json", OpenApiHandler, {})]
    for path, routes in paths.items():
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)
        found.append((f"{API}/{pattern}", ApiHandler, {"routes": routes, "service": service}))
    return found
