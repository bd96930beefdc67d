"""What of somebody's outputs another one is shown: text, pictures of pixels, and HTML that can do nothing.

Whoever runs `%remote shared ID` has cells of their own, whose output a front end trusts: its scripts would own the notebook and
the server. So nothing is passed on that could run, load or send anything, cover other parts of the page, or press the page's
buttons (JupyterLab runs commands by `data-` attributes): no scripts, SVG, widgets, forms, classes, ids, few styles, and of
addresses only those of links. Markdown and LaTeX are passed on as their source, since front ends make HTML of them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import nh3

Output = dict[str, Any]
OUTPUTS = 1000
"""Of one share; the rest is left out."""
LONGEST_NAME = 200
_TEXTS = ("text/markdown", "text/latex", "application/json")
"""What is shown as its source where there is no picture and no HTML."""
_IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
_DATA_URL = re.compile(r"data:image/(png|jpeg|gif);base64,([A-Za-z0-9+/=\s]*)")
# Control characters apart from tab, line feed, backspace and carriage return; of escape sequences only colours stay.
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,40}m")
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_TAGS = frozenset(
    re.findall(
        r"\w+",
        """a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i
        img ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr tt u ul var""",
    )
)
_ATTRIBUTES: Mapping[str, set[str]] = {
    "*": {"style", "title", "dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "col": {"span"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align", "scope"},
    "ol": {"start"},
    "details": {"open"},
}
_STYLES = frozenset(
    re.findall(
        r"[\w-]+",
        """color background-color font-weight font-style font-family font-size text-align text-decoration vertical-align
        white-space border border-color border-style border-width border-collapse border-spacing padding""",
    )
)


def shown(outputs: Sequence[Mapping[str, Any]]) -> tuple[list[Output], list[str]]:
    """nbformat's outputs as another one may see them, and what was left out, each kind once, in words."""
    found: list[Output] = []
    left_out: dict[str, None] = dict.fromkeys([f"all after the first {OUTPUTS} outputs"] if len(outputs) > OUTPUTS else [])
    for output in outputs[:OUTPUTS]:
        kind = output.get("output_type")
        if kind == "stream":
            found.append({"output_type": "stream", "name": _stream(output.get("name")), "text": text(output.get("text"))})
        elif kind == "error":
            found.append(_error(output))
        elif kind in ("display_data", "execute_result"):
            data, without = _bundle(output.get("data"))
            left_out.update(dict.fromkeys(without))
            if data:
                found.append({"output_type": "display_data", "data": data, "metadata": _metadata(output.get("metadata"), data)})
        else:
            left_out[f"an output of the type {word(kind)!r}"] = None
    return found, list(left_out)


def text(value: Any) -> str:
    """As nbformat has it, in one string or in lines; of what steers a terminal only colours stay."""
    joined = "".join(map(str, value)) if isinstance(value, list) else str(value if value is not None else "")
    colours = _COLOUR.findall(joined)
    parts = _COLOUR.split(joined)
    clean = [_CONTROL.sub("", part.replace("\x1b", "")) for part in parts]
    return "".join(part + colour for part, colour in zip(clean, [*colours, ""], strict=True)).encode("utf-8", "replace").decode()


def word(value: Any) -> str:
    """A name that somebody gives, as part of a sentence."""
    return " ".join(text(value).split())[:LONGEST_NAME]


def html(value: Any) -> str:
    return nh3.clean(
        text(value),
        tags=set(_TAGS),
        clean_content_tags={"script", "style", "svg", "math", "iframe", "object", "template", "noscript", "title"},
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},  # of data only what `_attribute` lets through
        filter_style_properties=set(_STYLES),
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "src":
        found = _DATA_URL.fullmatch(value)
        return value if found is not None and _is_image(f"image/{found[1]}", found[2]) else None
    if name == "href":
        return value if value.lower().startswith(("http://", "https://", "mailto:")) else None
    if name == "style":
        return None if re.search(r"url|expression|image|@|\\", value, re.IGNORECASE) else value
    return value


def _bundle(data: Any) -> tuple[Output, list[str]]:
    """The kinds that may be shown, and the names of those that may not."""
    if not isinstance(data, Mapping):
        return {}, []
    kept: Output = {}
    left_out = []
    for kind, value in data.items():
        if kind == "text/plain":
            kept[kind] = text(value)
        elif kind == "text/html":
            kept[kind] = html(value)
        elif kind in _IMAGES and isinstance(value, (str, list)) and _is_image(kind, encoded := "".join(map(str, value))):
            kept[kind] = "".join(encoded.split())
        elif kind not in _TEXTS:
            left_out.append(word(kind))
    source = next((data[kind] for kind in _TEXTS if kind in data), None)
    if isinstance(source, (str, list)) and not kept.keys() - {"text/plain"}:
        kept["text/plain"] = text(source)
    return kept, left_out


def _is_image(kind: str, encoded: str) -> bool:
    try:
        return base64.b64decode("".join(encoded.split()), validate=True).startswith(_IMAGES[kind])
    except (binascii.Error, ValueError):
        return False


def _metadata(given: Any, data: Output) -> Output:
    """The size that pictures are shown in."""
    found: Output = {}
    for kind in _IMAGES.keys() & data.keys():
        size = given.get(kind) if isinstance(given, Mapping) else None
        if isinstance(size, Mapping):
            numbers = {
                name: size[name] for name in ("width", "height") if type(size.get(name)) is int and 0 < size[name] < 10_000
            }
            if numbers:
                found[kind] = numbers
    return found


def _error(output: Mapping[str, Any]) -> Output:
    lines = output.get("traceback")
    return {
        "output_type": "error",
        "ename": word(output.get("ename")),
        "evalue": text(output.get("evalue")),
        "traceback": [text(line) for line in lines] if isinstance(lines, list) else [],
    }


def _stream(name: Any) -> str:
    return "stderr" if name == "stderr" else "stdout"
