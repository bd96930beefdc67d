"""Text and pictures that somebody else has made, as they may be shown: text that steers no terminal, pictures of pixels.

Of outputs of a target with `trust = "data"`, which a front end would else take for the notebook's own, and of runs that others
share.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_NAME = 200
TEXTS = ("text/markdown", "text/latex", "application/json")
"""What is shown as its source where there is nothing else."""
IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
# Control characters apart from tab, line feed, backspace and carriage return; of escape sequences only colours stay.
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,40}m")
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LARGEST_SIDE = 10_000


def text(value: Any) -> str:
    """As nbformat has it, in one string or in lines; of what steers a terminal only colours stay."""
    joined = "".join(map(str, value)) if isinstance(value, list) else str(value if value is not None else "")
    colours = _COLOUR.findall(joined)
    parts = _COLOUR.split(joined)
    clean = [_CONTROL.sub("", part.replace("\x1b", "")) for part in parts]
    return "".join(part + colour for part, colour in zip(clean, [*colours, ""], strict=True)).encode("utf-8", "replace").decode()


def deeply(value: Any) -> Any:
    """JSON whose texts are such as well, keys among them."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): deeply(each) for key, each in value.items()}
    return [deeply(each) for each in value] if isinstance(value, list) else value


def word(value: Any) -> str:
    """A name that somebody gives, as part of a sentence."""
    return " ".join(text(value).split())[:LONGEST_NAME]


def lines(value: Any) -> list[str]:
    """Of a traceback."""
    return [text(line) for line in value] if isinstance(value, list) else []


def is_image(kind: str, encoded: str) -> bool:
    """Whether these are, in base64, pixels of that kind."""
    try:
        return base64.b64decode("".join(encoded.split()), validate=True).startswith(IMAGES[kind])
    except (binascii.Error, ValueError):
        return False


def image(kind: str, value: Any) -> str | None:
    """Its base64, without blanks; None for what is no picture of that kind."""
    if kind not in IMAGES or not isinstance(value, (str, list)):
        return None
    encoded = "".join(map(str, value))
    return "".join(encoded.split()) if is_image(kind, encoded) else None


def sizes(given: Any, kinds: Iterable[str]) -> dict[str, Any]:
    """Of a display's metadata, the size that pictures are shown in."""
    found: dict[str, Any] = {}
    for kind in IMAGES.keys() & set(kinds):
        size = given.get(kind) if isinstance(given, Mapping) else None
        if isinstance(size, Mapping):
            numbers = {
                name: size[name] for name in ("width", "height") if type(size.get(name)) is int and 0 < size[name] < _LARGEST_SIDE
            }
            if numbers:
                found[kind] = numbers
    return found


def bundle(data: Any) -> dict[str, Any]:
    """Text and pictures of a display; where there is neither, the source of what it is."""
    if not isinstance(data, Mapping):
        return {}
    kept: dict[str, Any] = {kind: found for kind, value in data.items() if (found := image(kind, value)) is not None}
    if "text/plain" in data:
        kept["text/plain"] = text(data["text/plain"])
    source = next((data[kind] for kind in TEXTS if isinstance(data.get(kind), (str, list))), None)
    if source is not None and not kept:
        kept["text/plain"] = text(source)
    return kept
