"""`%remote get` from a target with `trust = "data"`, which says what it likes of its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from farcell.copying import Here, Progress, copy
from farcell.errors import Refused
from farcell_host.filetree import FILE, FOLDER, LINK, Entry, Tree


class Liar:
    """A target's side: any tree, and the same content for every file."""

    name = "on 'theirs'"

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def ask(self, operation: str, contents: Sequence[Any] | None = None, **arguments: Any) -> tuple[Any, list[Any]]:
        if operation == "survey":
            return self._tree.as_json(), []
        assert operation == "read"
        return None, [b"evil"[: span["size"]] for span in arguments["spans"]]


def get(tree: Tree, path: str, here: str | None = None) -> None:
    copy(
        Liar(tree), Here(nullcontext), path, here, exclude=(), overwrite=True, confirm=lambda size, largest: None,
        progress=Progress(), is_foreign=True,
    )  # fmt: skip


def file(path: str, mode: int = 0o644) -> Entry:
    return Entry(path, FILE, 4, mode, 0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's home, and its working folder in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def written(home: Path) -> set[str]:
    return {str(Path(folder, name).relative_to(home)) for folder, _, names in os.walk(home) for name in names}


@pytest.mark.parametrize("name", ["~/.profile", "../.profile", "/tmp/x", "other"])
def test_a_copy_has_the_name_that_was_asked_for(home: Path, name: str) -> None:
    """Not the one that the target gives it."""
    get(Tree("/there/data", name, False, [file("")]), "data/results.csv")
    assert written(home) == {"work/results.csv"}


def test_no_file_has_more_rights_than_one_may_have(home: Path) -> None:
    """The bits that make another user of whoever runs it are left out."""
    get(Tree("/there/tool", "tool", False, [file("", 0o6755)]), "tool")
    assert (home / "work" / "tool").stat().st_mode & 0o7777 == 0o755


def test_links_are_refused(home: Path) -> None:
    """Two of them together lead where none of them does alone."""
    links = [Entry("sub/up", LINK, 0, 0, 0, ".."), Entry("out", LINK, 0, 0, 0, "sub/up/../.ssh")]
    tree = Tree("/there/data", "data", True, [Entry("sub", FOLDER, 0, 0o755, 0), *links, file("out/authorized_keys")])
    with pytest.raises(Refused, match="data has links in it"):
        get(tree, "data")
    assert written(home) == set()


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//x"])
def test_a_path_that_leads_out_is_refused(home: Path, path: str) -> None:
    """As from any target."""
    with pytest.raises(Refused, match="is no path below a folder"):
        get(Tree("/there/data", "data", True, [file(path)]), "data")
    assert written(home) == set()


@pytest.mark.parametrize("path", ["..", "/", "."])
def test_what_has_no_name_is_to_be_given_one(home: Path, path: str) -> None:
    """The target does not choose it."""
    with pytest.raises(Refused, match="say what it is to be called here"):
        get(Tree("/", "~/.config", True, [file("a")]), path)
    assert written(home) == set()
    get(Tree("/", "~/.config", True, [file("a")]), path, "mine")
    assert written(home) == {"work/mine/a"}
