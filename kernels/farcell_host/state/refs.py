"""Values that stay on the target: what the local side knows of them."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from . import context


class RefBase:
    """Base of what the notebook binds for a value that stayed on the target: it travels back as the number."""

    __farcell_number__: int

    def _farcell_elsewhere(self) -> tuple[str, str]:
        """Why it cannot go to a target that does not hold its value, and what to do."""
        return "a ref to a value that is not on this target", "Its .fetch() brings it here"


def is_ref(obj: object) -> TypeGuard[RefBase]:
    """By its type alone: a weak proxy or a class' own `__class__` is not asked."""
    return issubclass(type(obj), RefBase)


@dataclass(frozen=True)
class RefInfo:
    """What a ref can show without fetching."""

    number: int
    type: str
    module: str
    shape: list[int] | None
    dtype: str | None
    device: str | None
    size_bytes: int
    preview: str
    reason: str
    travels: bool = True
    """False when fetching is no use: `reason` says what the value is."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_PREVIEW_CHARS = 200
_REPR_LIMIT_BYTES = 1 << 20


def describe(value: Any, number: int, size_bytes: int, reason: str, travels: bool = True) -> RefInfo:
    """Look at a value without disturbing it: every question it refuses to answer is left open."""
    kind = type(value)
    shape = _ask(value, "shape")
    return RefInfo(
        number=number,
        type=kind.__qualname__,
        module=kind.__module__,
        shape=[int(n) for n in shape] if isinstance(shape, tuple) and all(hasattr(n, "__index__") for n in shape) else None,
        dtype=_text(_ask(value, "dtype")),
        device=_text(_ask(value, "device")),
        size_bytes=size_bytes or _size(value),
        preview=_preview(value, size_bytes),
        reason=reason,
        travels=travels,
    )


def _ask(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _text(value: Any) -> str | None:
    return None if value is None or (callable(value) and not isinstance(value, type)) else str(value)


def _size(value: Any) -> int:
    nbytes = _ask(value, "nbytes")
    return nbytes if isinstance(nbytes, int) else sys.getsizeof(value, 0)


def _preview(value: Any, size_bytes: int) -> str:
    # The repr of a large list or dict is as large as itself; arrays and data frames shorten theirs.
    if size_bytes > _REPR_LIMIT_BYTES and isinstance(value, (list, dict, set, tuple, str, bytes)):
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = repr(value)
    except Exception as error:
        return f"<repr failed: {type(error).__name__}>"
    return text if len(text) <= _PREVIEW_CHARS else text[: _PREVIEW_CHARS - 3] + "..."


def resolve(number: int) -> Any:
    """In pickles: the object a number means on this side."""
    return context.current().resolve(number)


class Ref(RefBase):
    """The least a ref can be; the notebook's side has a richer one."""

    def __init__(self, name: str, info: RefInfo) -> None:
        self.name = name
        self.info = info
        self.__farcell_number__ = info.number

    def __repr__(self) -> str:
        return f"<{self.info.type} on the target: {self.info.preview}>"
