"""What of others' outputs is passed on, and what is not."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from farcell_broker import untrusted

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
# Of each the part that must not be there afterwards.
ATTACKS = [
    ("<script>alert(1)</script>", "alert"),
    ("<img src=x onerror=alert(1)>", "onerror"),
    ('<img src="https://evil.test/pixel.png">', "evil"),
    ('<img src="data:image/svg+xml;base64,PHN2Zy8+">', "svg"),
    (f'<img src="data:image/png;base64,{base64.b64encode(b"<svg onload=alert(1)>").decode()}">', "data:"),
    ("<svg><script>alert(1)</script><animate onbegin=alert(1)></svg>", "alert"),
    ('<math><mtext><table><mglyph><style><img src=x onerror="alert(1)">', "onerror"),
    ('<a href="javascript:alert(1)">x</a>', "javascript"),
    ('<a href=" jAvAscript:alert(1)">x</a>', "cript:"),
    ('<a href="data:text/html,<script>alert(1)</script>">x</a>', "data:"),
    ('<iframe srcdoc="<script>alert(1)</script>"></iframe>', "alert"),
    ('<form action="https://evil.test"><button>Log in</button></form>', "<form"),
    ('<input value="x" autofocus onfocus=alert(1)>', "<input"),
    ('<div style="position:fixed;top:0;left:0;width:100%;height:100%">x</div>', "position"),
    ('<div style="background-image:url(https://evil.test/x)">x</div>', "evil"),
    ('<div style="color:re\\64;width:expression(alert(1))">x</div>', "expression"),
    ("<style>body{display:none}</style>", "display"),
    ('<button data-commandlinker-command="terminal:create-new">x</button>', "commandlinker"),
    ('<div class="jp-RenderedText" id="jp-main" data-x="1" tabindex=0>x</div>', "jp-"),
    ('<meta http-equiv="refresh" content="0;url=https://evil.test">', "evil"),
    ('<base href="https://evil.test/">', "evil"),
    ('<link rel="stylesheet" href="https://evil.test/x.css">', "evil"),
    ('<object data="https://evil.test/x"></object><embed src="https://evil.test/x">', "evil"),
    ('<noscript><p title="</noscript><img src=x onerror=alert(1)>">', "onerror"),
]


@pytest.mark.parametrize(("attack", "trace"), ATTACKS)
def test_html_can_do_nothing(attack: str, trace: str) -> None:
    clean = untrusted.html(f"<b>before</b>{attack}")
    assert trace.lower() not in clean.lower() and clean.startswith("<b>before</b>")
    assert untrusted.html(clean) == clean


def test_tables_links_pictures_and_colours_stay() -> None:
    table = '<table border="1" class="dataframe"><tr style="text-align: right"><th colspan="2">a</th></tr></table>'
    assert untrusted.html(table) == ('<table><tbody><tr style="text-align:right"><th colspan="2">a</th></tr></tbody></table>')
    assert untrusted.html('<a href="https://farcell.test/x?y">x</a>') == (
        '<a href="https://farcell.test/x?y" rel="noopener noreferrer">x</a>'
    )
    picture = f'<img src="data:image/png;base64,{PIXEL}" width="5">'
    assert untrusted.html(picture) == picture
    assert untrusted.text("\x1b[31mred\x1b[0m\n\r50%\x08") == "\x1b[31mred\x1b[0m\n\r50%\x08"


def test_text_steers_no_terminal_and_hides_nothing() -> None:
    """No title, no cursor, no clipboard, no line drawn backwards."""
    assert (
        untrusted.text("a\x1b]52;c;ZXZpbA==\x07b\x1b[2J\x1b[31mc\u202etxt.exe\x9b2J\ud800")
        == "a]52;c;ZXZpbA==b[2J\x1b[31mctxt.exe2J?"
    )
    assert untrusted.word("two\nlines " + "x" * 1000) == ("two lines " + "x" * 1000)[:200]


def test_only_text_pictures_and_html_are_passed_on_and_the_rest_is_named() -> None:
    widget = {"text/plain": "IntSlider()", "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "other", "text": ["a\n", "b"]},
        {"output_type": "display_data", "data": widget, "metadata": {}},
        {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}, "metadata": {}},
        {"output_type": "execute_result", "data": {"image/svg+xml": "<svg/>", "text/plain": ["x"]}, "execution_count": 5},
        {
            "output_type": "display_data",
            "data": {"image/png": PIXEL + "\n", "text/plain": "<Figure>"},
            "metadata": {"image/png": {"width": 640, "height": "1;x"}, "isolated": True},
        },
        {"output_type": "display_data", "data": {"image/png": "no picture", "text/plain": "<Figure>"}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/markdown": "<script>1</script>", "text/plain": "<Markdown>"}},
        {"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["\x1b[31mE\x1b[0m\x07"]},
        {"output_type": "update_display_data", "data": {"text/plain": "x"}},
        {},
    ]
    shown, left_out = untrusted.shown(outputs)
    assert shown == [
        {"output_type": "stream", "name": "stdout", "text": "a\nb"},
        {"output_type": "display_data", "data": {"text/plain": "IntSlider()"}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}},
        {
            "output_type": "display_data",
            "data": {"image/png": PIXEL, "text/plain": "<Figure>"},
            "metadata": {"image/png": {"width": 640}},
        },
        {"output_type": "display_data", "data": {"text/plain": "<Figure>"}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/plain": "<script>1</script>"}, "metadata": {}},
        {"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["\x1b[31mE\x1b[0m"]},
    ]
    assert left_out == [
        "application/vnd.jupyter.widget-view+json",
        "application/javascript",
        "image/svg+xml",
        "image/png",
        "an output of the type 'update_display_data'",
        "an output of the type ''",
    ]
