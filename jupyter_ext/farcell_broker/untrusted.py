"""What of somebody's outputs another one is shown: text, pictures of pixels, and HTML that can do nothing.

Whoever runs `%remote shared ID` has cells of their own, whose output a front end trusts: its scripts would own the notebook and
the server. So nothing is passed on that could run, load or send anything, cover other parts of the page, or press the page's
buttons (JupyterLab runs commands by `data-` attributes): no scripts, SVG, widgets, forms, classes, ids, few styles, and of
addresses only those of links. Markdown and LaTeX are passed on as their source, since front ends make HTML of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import nh3
from farcell.untrusted import TEXTS, image, is_image, lines, sizes, text, word

Output = dict[str, Any]
OUTPUTS = 1000
"""Of one share; the rest is left out."""
_DATA_URL = re.compile(r"data:image/(png|jpeg|gif);base64,([A-Za-z0-9+/=\s]*)")
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
                found.append({"output_type": "display_data", "data": data, "metadata": sizes(output.get("metadata"), data)})
        else:
            left_out[f"an output of the type {word(kind)!r}"] = None
    return found, list(left_out)


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
        return value if found is not None and is_image(f"image/{found[1]}", found[2]) else None
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
        elif (picture := image(kind, value)) is not None:
            kept[kind] = picture
        elif kind not in TEXTS:
            left_out.append(word(kind))
    source = next((data[kind] for kind in TEXTS if kind in data), None)
    if isinstance(source, (str, list)) and not kept.keys() - {"text/plain"}:
        kept["text/plain"] = text(source)
    return kept, left_out


def _error(output: Mapping[str, Any]) -> Output:
    return {
        "output_type": "error",
        "ename": word(output.get("ename")),
        "evalue": text(output.get("evalue")),
        "traceback": lines(output.get("traceback")),
    }


def _stream(name: Any) -> str:
    return "stderr" if name == "stderr" else "stdout"
