"""What docs/limits.md says cannot travel is what is refused, in these words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import farcell
import farcell_host
import pytest
from farcell.capture.reads import PYTHON_MAGICS
from farcell.errors import CannotTravel
from farcell.exchange import Exchange
from farcell.refs import Ref
from farcell_host.state import finalizers, modules, patterns, refusals, tensors, weakrefs
from farcell_host.state.refs import RefInfo

SOURCES = [Path(str(package.__file__)).parent for package in (farcell, farcell_host)]
ELSEWHERE = {"exchange.py"}
"""What a broker answers to whoever reads a shared session: docs/deployment.md."""
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


def first_sentences() -> Iterator[tuple[str, str]]:
    """Of all that is refused with words of its own: where, and the longest piece that is always the same."""
    for file in (file for source in SOURCES for file in source.rglob("*.py") if file.name not in ELSEWHERE):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Refused", "CannotCopy") and node.args):
                continue
            values = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            fixed = "\0".join(str(value.value) for value in values if isinstance(value, ast.Constant))
            piece = max(re.split(r"(?<=[.;])\s", fixed)[0].split("\0"), key=len).strip()
            if len(piece) > 2:
                yield f"{file.name}:{node.lineno}", piece


def test_every_other_refusal_is_named() -> None:
    """Of cells, copies and packages."""
    found = dict(first_sentences())
    assert len(found) > 25
    assert {place: piece for place, piece in found.items() if piece not in PAGE} == {}


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
