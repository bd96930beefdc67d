"""Pillow's images: their pixels as Pillow pickles them, and the attributes that it leaves out.

`save` leaves what it was told in the image, and readers leave what a file said: plain data goes along, handles of files and
decoders do not. Pillow is only looked at when the program has imported it.
"""

from __future__ import annotations

import copyreg
import sys
from typing import Any

_PLAIN = (type(None), bool, int, float, str, bytes, tuple, list, dict)
_OF_PILLOW = frozenset({"info", "_mode", "mode", "_size", "size", "_im", "im"})
"""What its own state says."""


def is_image(kind: Any) -> bool:
    module = sys.modules.get("PIL.Image")
    base = getattr(module, "Image", None)
    return base is not None and issubclass(kind, base) and kind.__reduce_ex__ is object.__reduce_ex__


def reducer(kind: type) -> Any:
    """How objects of this type go into a pickle; None for their own way."""
    return _reduce_image if is_image(kind) else None


def _reduce_image(image: Any) -> Any:
    return copyreg.__newobj__, (type(image),), image_state(image), None, None, set_image_state  # type: ignore[attr-defined]


def image_state(image: Any) -> tuple[Any, dict[str, Any]]:
    state = image.__getstate__()  # loads it first
    others = {name: value for name, value in vars(image).items() if name not in _OF_PILLOW and _is_plain(value)}
    return state, others


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or type(value).__module__ == "PIL.ImagePalette"


def set_image_state(image: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Called by unpickling, and by a merge for an image that is here already: what draws on that has its pixels."""
    own_state, others = state
    info, mode, size, palette, data = own_state[:5]
    core = vars(image).get("_im", vars(image).get("im"))
    if core is not None and core.mode == mode and core.size == size and all(size) and not palette and not image.readonly:
        core.paste(sys.modules["PIL.Image"].frombytes(mode, size, data).im, (0, 0, *size))
        image.info = info
    else:
        image.__setstate__(own_state)
    vars(image).update(others)
