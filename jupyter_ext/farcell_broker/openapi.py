"""The OpenAPI document of the REST API, from one table: what is asked for are the models that check it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from farcell._version import __version__
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from . import schemas

VERSION = "3.1.0"
_FAULTS = {
    400: "The request is not right",
    401: "There is no token in the Authorization header, or it is none of the broker's",
    403: "It is for administrators",
    404: "There is none, or it is another user's",
    409: "Policy says no, or the lease is not what it was",
    413: "The body is too large",
    429: "Too many requests of this user's",
    503: "The database, or the hub, does not answer now",
}
_ALWAYS = (400, 401, 429, 503)


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    about: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    faults: tuple[int, ...] = ()


OPERATIONS = (
    Operation("get", "/me", "Who the broker takes the token's owner for"),
    Operation("get", "/targets", "What this user may borrow"),
    Operation("get", "/leases", "Open leases, one's own or (administrators) all", query=schemas.Listing, faults=(403,)),
    Operation("post", "/leases", "Ask for a lease; once for each key", body=schemas.LeaseRequest, status=201, faults=(403, 409)),
    Operation("get", "/leases/{id}", "One lease, at once or when it is another than `seen`", query=schemas.Look, faults=(404,)),
    Operation("delete", "/leases/{id}", "Give it back, or leave the queue", faults=(403, 404, 409)),
    Operation("get", "/leases/{id}/journal", "What runs of one that is over had shown and nobody has taken", faults=(404,)),
    Operation("get", "/usage", "What this user has used and may use"),
    Operation(
        "get",
        "/accounts",
        "What was used, by user, group, notebook, target, day or month",
        query=schemas.AccountsQuery,
        faults=(403, 409),
    ),
    Operation("get", "/shares", "Runs and sessions that this user shows to others, or is shown"),
    Operation(
        "post",
        "/shares",
        "Show others a run's outputs or a session's values",
        body=schemas.ShareRequest,
        status=201,
        faults=(404, 409, 413),
    ),
    Operation("get", "/shares/{id}", "One of them, with its outputs", faults=(404,)),
    Operation(
        "post", "/shares/{id}/values", "What a shared session holds, and values", body=schemas.ValuesRequest, faults=(404, 409)
    ),
    Operation("delete", "/shares/{id}", "Show it no more", faults=(404,)),
    Operation("get", "/audit", "Who did what, the newest first", query=schemas.AuditQuery, faults=(403,)),
)


@lru_cache(1)
def document() -> dict[str, Any]:
    """`servers` is for who serves it to fill in."""
    bodies = [(operation.body, "validation") for operation in OPERATIONS if operation.body is not None]
    _, found = models_json_schema([*bodies, (schemas.Problem, "serialization")], ref_template="#/components/schemas/{model}")  # type: ignore[list-item]
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _told(operation)
    return {
        "openapi": VERSION,
        "info": {"title": "farcell-broker", "version": __version__, "description": "Leases of shared targets: docs/broker.md."},
        "paths": paths,
        "components": {
            "schemas": found.get("$defs", {}),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "security": [{"token": []}],
    }


def _told(operation: Operation) -> dict[str, Any]:
    name = operation.path.replace("/{id}", "_one").strip("/").replace("/", "_")
    told: dict[str, Any] = {
        "operationId": f"{operation.method}_{name}",
        "summary": operation.about,
        "responses": {
            str(operation.status): {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}},
            **{str(status): _fault(status) for status in sorted({*_ALWAYS, *operation.faults})},
        },
    }
    parameters = _parameters(operation)
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        schema = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
        found.append({"name": "id", "in": "path", "required": True, "schema": schema})
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            found.append({"name": name, "in": "query", "required": False, "schema": _without_null(schema)})
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is not said is left out of a query."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    return kinds[0] if kinds else {key: value for key, value in schema.items() if key != "default"}


def _fault(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": _FAULTS[status], "content": {"application/json": {"schema": schema}}}
