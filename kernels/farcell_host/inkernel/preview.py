"""What `%remote vars` shows of a value; never calls anything slow, and never fails."""

from __future__ import annotations

import reprlib
import sys
from typing import Any

_MAX_CHARS = 80
_PLAIN = (int, float, complex, bool, str, bytes, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset)


def describe(name: str, value: Any) -> dict[str, Any]:
    """One row: name, type, shape, bytes and a short repr."""
    return {
        "name": name,
        "type": _type_name(type(value)),
        "shape": _shape(value),
        "bytes": _size(value),
        "repr": _short_repr(value),
    }


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"


def _shape(value: Any) -> str:
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return "x".join(str(int(side)) for side in shape)
        return str(len(value)) if isinstance(value, (*_CONTAINERS, str, bytes, bytearray)) else ""
    except Exception:
        return ""


def _size(value: Any) -> int | None:
    try:
        size = getattr(value, "nbytes", None)
        return int(size) if isinstance(size, int) else sys.getsizeof(value)
    except Exception:
        return None


def _short_repr(value: Any) -> str:
    """Of plain values and containers of them; of arrays by type alone, for their repr may compute."""
    try:
        if isinstance(value, (*_PLAIN, *_CONTAINERS)):
            text = reprlib.repr(value)
        elif getattr(value, "shape", None) is not None:
            text = f"{type(value).__name__} {getattr(value, 'dtype', '')}".strip()
        else:
            text = reprlib.repr(value)
    except Exception as error:
        return f"<its repr fails: {type(error).__name__}>"
    text = text.replace("\n", " ")
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 3] + "..."
