"""Tables as plain text and HTML."""

from __future__ import annotations

from farcell.tables import Table


def test_plain_text() -> None:
    """Columns line up, numbers to the right, nothing trails."""
    table = Table("Runs", ["name", "size"], [["x", 5], ["longer", 120]])
    assert repr(table) == "Runs\nname    size\n------  ----\nx          5\nlonger   120"


def test_html_is_escaped() -> None:
    """A value's repr cannot put script into the page."""
    html = Table("<b>", ["name"], [["<script>alert(1)</script>"]])._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html


def test_an_empty_table_says_so() -> None:
    """No head without rows."""
    assert repr(Table("Sessions", ["a"], [], "none yet")) == "Sessions: none yet"
    assert "none yet" in Table("Sessions", ["a"], [], "none yet")._repr_html_()


def test_cells_are_one_short_line() -> None:
    """Long and multi-line values are cut, None is a dash, truth is a word."""
    text = repr(Table("T", ["a", "b", "c"], [["l1\nl2", None, True], ["z" * 100, 1, False]]))
    assert "l1 l2" in text
    assert "z" * 57 + "..." in text
    assert " - " in text and "yes" in text and "no" in text
