"""What docs/limits.md says cannot travel is what is refused, in these words."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from farcell.capture.reads import PYTHON_MAGICS
from farcell.errors import CannotTravel
from farcell.exchange import Exchange
from farcell.refs import Ref
from farcell_host.state import finalizers, modules, patterns, refusals, tensors, weakrefs
from farcell_host.state.refs import RefInfo

PAGE = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## What cannot travel")[2].partition("\n## ")[0]


def test_the_table_has_every_refusal_with_its_hint() -> None:
    """Nothing is refused that the page does not name, and the other way round."""
    listed = {}
    for what, hint in re.findall(r"^\| (an? .*) \| (.*) \|$", SECTION, re.M):
        listed.update(dict.fromkeys(what.split(", "), "" if hint.startswith("nothing") else hint))
    assert listed == dict(refusals._REFUSED.values())


def test_the_table_has_every_other_refusal_with_its_hint() -> None:
    """Those that are told by more than a type."""
    kinds = {
        finalizers.FINALIZED: finalizers.HINT,
        finalizers.WITH_DEL: finalizers.HINT,
        weakrefs.CALLBACK: weakrefs.HINT,
        tensors.HISTORY: tensors.DETACH,
        patterns.NOT_FOUND: patterns.HINT,
        modules.REPLACED: modules.REPLACED_HINT,
    }
    rows = dict(re.findall(r"^\| `(.*)` \| (.*) \|$", SECTION.replace("\\_", "_"), re.M))
    assert {what: rows.get(what) for what in kinds} == kinds


class Session:
    """As much of one as a ref looks at."""

    target, epoch, saved = "T", 1, ()


def test_the_table_has_the_refusals_of_refs() -> None:
    """In a value that goes to another target: one that can come here, one that cannot, one that is lost."""
    rows = dict(re.findall(r"^\| `(a ref .*)` \| (.*) \|$", SECTION, re.M))
    session = Session()
    for reason, epoch in (("", 1), ("x: a lock", 1), ("", 0)):
        info = RefInfo(1, "list", "builtins", None, None, None, 8, "", reason, travels=not reason)
        what, hint = Ref(session, epoch, info)._farcell_elsewhere()
        assert rows.pop(what) == hint
    assert not rows


def test_the_example_is_answered_in_these_words(tmp_path: Path) -> None:
    """An open file inside a model."""
    with (tmp_path / "log").open("w") as log:
        exchange = Exchange({"model": SimpleNamespace(cfg={"log": log})}, 1, [], lambda name, info: None)
        with pytest.raises(CannotTravel) as caught:
            exchange.capture(["model"])
    assert re.findall(r"^```text\n(.*?)\n```", SECTION, re.M | re.S) == [f"CannotTravel: {caught.value}"]


def test_the_magics_that_are_looked_through_are_named() -> None:
    """The page's list of cell magics is the list that is used."""
    (line,) = re.findall(r"Cell magics that run Python are looked through \((.*)\)", PAGE)
    assert {name.strip("`%") for name in line.split(", ")} == PYTHON_MAGICS - {"remote", "local"}
