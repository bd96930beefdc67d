"""Writes `labextension/src/wire.ts` from the models of the server extension, so that a wire type has one definition.

Run `python tools/wire_types.py` after a change of `jupyter_ext/farcell/server/schemas.py`; a test says when it was forgotten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from farcell.server import schemas
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

FILE = Path(__file__).parents[1] / "labextension" / "src" / "wire.ts"
HEAD = """// Made by tools/wire_types.py from jupyter_ext/farcell/server/schemas.py; see there for what each field means.
"""
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def models() -> list[type[BaseModel]]:
    own = [each for name, each in vars(schemas).items() if not name.startswith("_") and isinstance(each, type)]
    found = [each for each in own if issubclass(each, BaseModel) and each.__module__ == schemas.__name__]
    return sorted(found, key=lambda each: each.__name__)


def typed(schema: dict[str, Any]) -> str:
    """The TypeScript type of a JSON schema as pydantic writes them."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "const" in schema:
        return quoted(schema["const"])
    if "enum" in schema:
        return " | ".join(map(quoted, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(typed, schema["anyOf"])))
    kind = schema.get("type")
    if kind == "array":
        inner = typed(schema.get("items", {}))
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        inside = schema.get("additionalProperties")
        return f"{{ [key: string]: {typed(inside) if isinstance(inside, dict) else 'unknown'} }}"
    return PLAIN.get(str(kind), "unknown")


def quoted(value: object) -> str:
    return f"'{value}'"


def text() -> str:
    asked = {each for each in models() if issubclass(each, schemas._Asked)}
    _, found = models_json_schema([(each, "validation" if each in asked else "serialization") for each in models()])
    parts = [HEAD]
    for name, schema in sorted(found["$defs"].items()):
        required = set(schema.get("required", ()))
        lines = [f"  {key}{'' if key in required else '?'}: {typed(of)};" for key, of in schema.get("properties", {}).items()]
        parts.append(f"export interface {name} {{\n" + "".join(f"{line}\n" for line in lines) + "}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    FILE.write_text(text())
