"""The OpenAPI document, from the table of routes and the models: nothing is said twice."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from .._version import __version__
from .routes import ROUTES, Route
from .schemas import Changed, Problem

VERSION = "3.1.0"
_PROBLEMS = {
    400: "The request is not right; all that is wrong with it is listed",
    403: "Nobody is logged in, or not allowed to do this",
    404: "There is no such thing",
    409: "It would cost what was not agreed to, or is not possible as things are",
    503: "A place or the ledger cannot be asked now",
}
_PART = re.compile(r"{(\w+)}")


@lru_cache(1)
def document() -> dict[str, Any]:
    """For this farcell; `servers` is for who serves it to fill in."""
    _, schemas = models_json_schema(_models(), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": VERSION,
        "info": {
            "title": "farcell",
            "version": __version__,
            "description": "What runs where, and what can be done about it: docs/server.md.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "security": [{"token": []}],
    }


def _models() -> list[tuple[type[BaseModel], JsonSchemaMode]]:
    asked: set[type[BaseModel]] = {route.body for route in ROUTES if route.body is not None}
    answered: set[type[BaseModel]] = {route.answer for route in ROUTES if route.answer is not None} | {Problem, Changed}
    found: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in asked]
    found += [(model, "serialization") for model in answered]
    return sorted(found, key=lambda each: each[0].__name__)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z]+', '_', route.path).strip('_')}",
        "summary": route.summary,
        "description": f"Needs the right to {route.action}.",
        "parameters": [*_path(route), *_query(route)],
        "responses": _responses(route),
    }
    if route.body is not None:
        is_needed = any(field.is_required() for field in route.body.model_fields.values())
        operation["requestBody"] = {"required": is_needed, "content": _json(route.body)}
    return operation


def _path(route: Route) -> list[dict[str, Any]]:
    word = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
    return [{"name": name, "in": "path", "required": True, "schema": word} for name in _PART.findall(route.path)]


def _query(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema()
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(part)}
        for name, part in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be left out is left out."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**rest, **choices[0]} if len(choices) == 1 else schema


def _responses(route: Route) -> dict[str, Any]:
    done: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        done["content"] = _json(route.answer)
    found = {str(route.status): done}
    if route.path == "snapshot":
        found["304"] = {"description": "Nothing has changed since the snapshot of `If-None-Match`"}
    for status in sorted({400, 403, *route.problems}):
        found[str(status)] = {"description": _PROBLEMS[status], "content": _json(Problem)}
    return found


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
