"""An exception that is kept is whole on the other side: class, arguments, causes, and where it was raised."""

from __future__ import annotations

import linecache
import traceback

import pytest

MADE = (
    "class Odd(Exception):\n    def __init__(self, code, *, body):\n        super().__init__(code)\n        self.body = body\n"
    "def low(x):\n    return 1 // x\n"
    "def high(x):\n    try:\n        return low(x)\n    except ZeroDivisionError as e:\n        raise Odd(4, body=[x]) from e\n"
    "try: high(0)\nexcept Odd as e: kept = e\n"
    "alias = kept\n"
)


def told(error):
    return "".join(traceback.format_exception(error))


def test_a_kept_exception_tells_the_same_on_the_other_side(pair):
    """Traceback, cause and context, columns included; its class' own arguments are not asked for again."""
    pair.cell(MADE)
    linecache.checkcache()
    expected = told(pair.here["kept"])
    assert "in low" in expected and "direct cause" in expected
    pair.ship("kept", "alias", "Odd")
    assert told(pair.there["kept"]) == expected
    assert pair.there["kept"].__cause__ is pair.there["kept"].__context__
    pair.remote_exec(MADE.replace("kept", "other"))
    pair.collect("other", "kept", "alias", "Odd", "low", "high")
    assert told(pair.here["other"]) == told(pair.there["other"]) and pair.here["other"].body == [0]


def test_a_change_of_a_kept_exception_is_made_in_place(pair):
    """Raised again, given a note, other arguments; the frames that were really here stay."""
    pair.cell(MADE)
    kept = pair.here["kept"]
    frame = kept.__traceback__.tb_frame
    pair.run("kept.args = (5,); kept.more = kept.body; kept.body.append(1)", "kept", "alias")
    assert pair.here["kept"] is pair.here["alias"] is kept
    assert (kept.args, kept.body, kept.more is kept.body) == ((5,), [0, 1], True)
    assert kept.__traceback__.tb_frame is frame
    pair.run("try: raise kept\nexcept Exception: pass", "kept", "alias")
    assert kept is pair.here["kept"] and len(traceback.extract_tb(kept.__traceback__)) == 3
    pair.ship("kept", "alias")
    assert not pair.last.header["streams"]


def test_a_context_that_cannot_travel_is_left_out(pair):
    """The exception itself goes all the same."""
    pair.cell(
        "import threading\ntry:\n    try: raise KeyError(threading.Lock())\n    except KeyError: raise ValueError(1)\n"
        "except ValueError as e: kept = e"
    )
    pair.ship("kept")
    assert pair.there["kept"].args == (1,) and pair.there["kept"].__context__ is None


def test_a_long_chain_of_causes_takes_no_time(pair):
    """Each is tried with those behind it; a ring is no obstacle."""
    pair.cell(
        "first = last = ValueError(0)\nfor i in range(1, 60):\n    new = ValueError(i); new.__cause__ = last; last = new\n"
        "a = KeyError(); b = KeyError(); a.__cause__ = b; b.__context__ = a"
    )
    pair.ship("first", "last", "a", "b")
    error = pair.there["last"]
    for i in range(59, 0, -1):
        assert error.args == (i,)
        error = error.__cause__
    assert error is pair.there["first"] and pair.there["a"].__cause__.__context__ is pair.there["a"]


@pytest.mark.parametrize(
    "made",
    [
        "OSError(2, 'gone', 'a.txt')", "UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad')", "ImportError('no', name='m')",
        "KeyError('k')", "SystemExit(3)", "StopIteration(5)", "SyntaxError('bad', ('f', 1, 2, 'x', 1, 3))", "Warning()",
        "FileNotFoundError(2, 'gone')", "AttributeError('a', name='b')",
    ],
)  # fmt: skip
def test_builtin_exceptions_keep_their_fields(pair, made):
    """As pickle does it."""
    pair.cell(f"kept = {made}")
    pair.cell(
        "def fields(e): return [(n, getattr(e, n, '')) for n in dir(e) if n[:1] != '_' and not callable(getattr(e, n, ''))]"
    )
    pair.run("there = fields(kept), str(kept)", "kept", "fields")
    assert pair.here["there"] == (pair.here["fields"](pair.here["kept"]), str(pair.here["kept"]))
