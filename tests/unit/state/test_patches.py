"""Places in libraries that the notebook assigns to: what they were, what they are, and what may not be touched."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator

import pytest
from farcell_host.state.patches import PATCHES, PatchContent, Patched, Patches, find_place, original

CODE = "digits = [1]\ndef go(): return 1\nclass Tool:\n    def run(self): return go()\nclass Sub(Tool): pass\n"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module as an installed package has it."""
    module = types.ModuleType("fc_library")
    exec(CODE, vars(module))
    module.__file__ = "/site-packages/fc_library.py"
    monkeypatch.setitem(sys.modules, "fc_library", module)
    yield module
    for places in (PATCHES._patched, PATCHES._places):
        places.clear()  # type: ignore[attr-defined]
    PATCHES._paths.clear()


def told(library: types.ModuleType) -> Patched:
    (found,) = PATCHES.known()
    assert found.module is library
    return found


def put(data: dict[str, object], missing: tuple[str, ...] = ()) -> object:
    """Merges what a peer tells; the answer takes it back."""
    step = PatchContent("fc_library", data, missing).merge()
    undo = next(step)
    next(step, None)
    return undo


def test_nothing_is_told_before_something_changes(library: types.ModuleType) -> None:
    """And from then on all that has ever been changed, so that it can be put back there too."""
    PATCHES.watch(["fc_library.go", "fc_library.extra", "fc_library.Tool.run"])
    assert PATCHES.known() == []
    real, library.go = library.go, print  # type: ignore[attr-defined]
    assert told(library).data() == {"go": print}
    library.go = real  # type: ignore[attr-defined]
    library.Tool.run = print
    assert told(library).data() == {"go": real, "Tool.run": print}
    del library.go
    assert told(library).missing() == ["go"]


def test_what_the_library_changes_itself_is_its_own(library: types.ModuleType) -> None:
    """Only places that cells assign to are looked at."""
    PATCHES.watch(["fc_library.go"])
    library.digits.append(2)
    library.counter = 5  # type: ignore[attr-defined]
    assert PATCHES.known() == []


def test_a_merge_sets_deletes_and_is_taken_back(library: types.ModuleType) -> None:
    """Also where this side has never looked."""
    real = library.go
    undo = put({"go": print, "Sub.run": len, "extra": [1]}, ("digits",))
    assert (library.go, library.Sub.run, library.extra, hasattr(library, "digits")) == (print, len, [1], False)
    assert library.Tool.run is not len
    undo()  # type: ignore[operator]
    assert library.go is real and "run" not in vars(library.Sub) and not hasattr(library, "extra") and library.digits == [1]


def test_a_definition_is_found_although_it_has_lost_its_place(library: types.ModuleType) -> None:
    """Both where it was seen before, and where it says itself where it was."""
    real, cls = library.go, library.Tool
    PATCHES.watch(["fc_library.go"])
    library.go = functools.wraps(real)(lambda: 2)  # type: ignore[attr-defined]
    assert PATCHES.place_of(real) == ("fc_library", "go") and original("fc_library", "go") is real
    assert PATCHES.place_of(library.go) is None
    library.Tool = print  # type: ignore[misc, assignment]
    PATCHES.watch(["fc_library.Tool"], was_run=True)
    assert PATCHES.place_of(print) is None and PATCHES.place_of(cls) == ("fc_library", "Tool")
    assert original("fc_library", "Tool") is cls


def test_a_module_is_looked_at_right_after_its_import(tmp_path, monkeypatch):
    """What it holds then is what it was, whatever the cell that imports it sets."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "fc_late").mkdir()
    (folder / "fc_late" / "__init__.py").write_text("")
    (folder / "fc_late" / "part.py").write_text("n = 1\n")
    monkeypatch.syspath_prepend(str(folder))
    import fc_late

    patches = Patches()
    patches.watch(["fc_late.part.n", "fc_late.no_such.n"])
    import fc_late.part

    fc_late.part.n = 2
    (found,) = patches.known()
    assert (found.originals, found.data()) == ({"n": 1}, {"n": 2})
    assert patches.paths == ["fc_late.no_such.n", "fc_late.part.n"]
    for name in ("fc_late.part", "fc_late"):
        del sys.modules[name]
    sys.meta_path.remove(patches._imports)


@pytest.mark.parametrize(
    "path",
    [
        "sys.stdout", "sys.path", "sys.modules", "builtins.print", "__main__.x", "IPython.core.x", "warnings.filters",
        "farcell_host.x", "builtins.int.x", "datetime.date.x", "os.environ.x", "no_such_module_z.x", "string",
    ],
)  # fmt: skip
def test_what_is_each_sides_own_is_left_alone(path: str) -> None:
    """The kernel's own parts, what other ways carry, and what cannot be assigned to."""
    assert find_place(path) is None


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("sys.argv", ("sys", "argv")),
        ("os.path.join", ("posixpath", "join")),
        ("pathlib.Path.ls", ("pathlib", "Path.ls")),
        ("warnings.showwarning", ("warnings", "showwarning")),
        ("json.JSONDecodeError.x", ("json", "JSONDecodeError.x")),
    ],
)
def test_a_place_has_one_name(path: str, place: tuple[str, str]) -> None:
    """That of the module or class itself, by whatever way the notebook has come to it."""
    assert find_place(path) == place
