"""The Python API before anything is started."""

from __future__ import annotations

from typing import Any

import pytest
from farcell.api import Remote, Workspace
from farcell.errors import UsageError


def remote(**namespace: Any) -> Remote:
    """The local target as a program with these globals sees it."""
    here = Workspace(namespace, None)
    return Remote(here, here.targets().get())


def test_connecting_and_planning_start_nothing() -> None:
    """`connect` is cheap; `plan` only looks."""
    here = remote(x=[1, 2], unread=3)
    rows = here.plan("x.append(1)")
    assert [(row.name, row.why, row.type, row.there) for row in rows] == [("x", "read by the cell", "list", False)]
    assert here.status().state == "not started"
    assert repr(here) == "<farcell.Remote 'local': not started>"


def test_inputs_are_added_with_their_reason() -> None:
    """What `--in` names is planned although the text does not show it."""
    assert [(row.name, row.why) for row in remote(a=1, b=2).plan("1", inputs=["b"])] == [("b", "--in")]


def test_inputs_must_be_defined() -> None:
    """A typo is a UsageError with a guess, and nothing starts."""
    here = remote(weights=1)
    with pytest.raises(UsageError) as caught:
        here.run("1", inputs=["weihgts", "nothing_like_it"])
    assert str(caught.value) == "'weihgts', 'nothing_like_it' are not defined in this notebook. Did you mean 'weights'?"
    assert here.status().state == "not started"


def test_one_session_a_target() -> None:
    """Two handles on one target share the session."""
    here = Workspace({}, None)
    target = here.targets().get()
    assert Remote(here, target).session is Remote(here, target).session


def test_a_syntax_error_starts_nothing() -> None:
    """The code is read before anything is launched."""
    here = remote()
    with pytest.raises(SyntaxError):
        here.run("x = (")
    assert here.status().state == "not started"
