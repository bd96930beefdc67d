"""The remote kernel's namespace and its `__main__`."""

from __future__ import annotations

import builtins
import copy
import pickle
import sys

import pytest
from farcell_host.inkernel.namespace import MainModule, Namespace


@pytest.fixture
def namespace() -> Namespace:
    return Namespace({"x": 1})


def test_builtins_are_hidden(namespace: Namespace) -> None:
    """A fresh namespace looks empty but for what was put into it."""
    assert list(namespace) == list(namespace.keys()) == ["x"]
    assert list(namespace.values()) == [1]
    assert len(namespace) == 1
    assert "len" not in namespace
    assert namespace.get("len") is None
    assert {**namespace} == dict(namespace) == copy.copy(namespace) == namespace.copy() == {"x": 1}
    assert namespace == {"x": 1} and namespace | {"y": 2} == {"x": 1, "y": 2} and {"y": 2} | namespace == {"y": 2, "x": 1}
    assert list(reversed(namespace)) == ["x"]
    assert repr(namespace) == "{'x': 1}"
    assert pickle.loads(pickle.dumps(namespace)) == {"x": 1}


def test_builtins_are_found_by_code(namespace: Namespace) -> None:
    """Code reads builtins without asking anybody."""
    namespace.fetch = lambda name: pytest.fail(f"asked for {name}")
    exec("y = len([x]) + max(1, 2)\nprint\nnames = dir()", namespace)
    assert namespace["y"] == 3
    assert "len" not in namespace["names"] and "x" in namespace["names"]


def test_shadowed_builtin_is_the_users(namespace: Namespace) -> None:
    """A builtin's name that the user binds is a name like any other; deleting it brings the builtin back."""
    exec("len = 5", namespace)
    assert "len" in namespace and sorted(namespace.user_names()) == ["len", "x"]
    exec("del len\nn = len('ab')", namespace)
    assert namespace["n"] == 2 and "len" not in namespace


def test_mapping_methods(namespace: Namespace) -> None:
    """pop, popitem, setdefault and clear do not see the builtins."""
    with pytest.raises(KeyError):
        namespace.pop("len")
    assert namespace.pop("len", 7) == 7
    assert namespace.setdefault("sum", 3) == 3 and namespace["sum"] == 3
    namespace["last"] = 4
    assert namespace.popitem() == ("last", 4)
    namespace.clear()
    assert len(namespace) == 0 and namespace["len"] is len
    with pytest.raises(KeyError):
        namespace.popitem()


def test_replaced_builtin(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builtin that somebody replaces is noticed, and looked up where it is when it is not seeded."""
    monkeypatch.setattr(builtins, "abs", lambda value: "mine")
    assert namespace.has_stale_seeds()
    namespace.unseed()
    exec("y = abs(-1)", namespace)
    assert namespace["y"] == "mine"
    namespace.seed()
    assert not namespace.has_stale_seeds()


def test_missing_name_is_fetched(namespace: Namespace) -> None:
    """A name that was not sent is asked for, also from inside a function; one that is nowhere is a NameError."""
    asked = []

    def fetch(name: str) -> bool:
        asked.append(name)
        if name == "z":
            namespace["z"] = 42
        return name == "z"

    namespace.fetch = fetch
    exec("def f(): return z\ny = f() + z", namespace)
    assert namespace["y"] == 84 and asked == ["z"]
    with pytest.raises(NameError, match="nowhere"):
        exec("nowhere", namespace)
    assert "__path__" not in namespace
    with pytest.raises(KeyError):
        namespace["__path__"]
    assert asked == ["z", "nowhere"]


def test_names_not_verified_are_hidden_during_a_run() -> None:
    """A run sees what its request verified and what it binds itself; afterwards the rest is there again."""
    namespace = Namespace({"a": 1, "b": 2, "c": 3, "d": 4})
    namespace.begin_run(["a"])
    assert list(namespace) == ["a"]
    namespace["b"] = 20
    namespace.reveal(["d"])
    assert namespace["d"] == 4
    with pytest.raises(KeyError):
        namespace["c"]
    namespace.end_run()
    assert namespace == {"a": 1, "b": 20, "c": 3, "d": 4}
    namespace.drop(["a", "nothing"])
    assert "a" not in namespace


def test_ipythons_names_are_never_hidden() -> None:
    """In, Out and get_ipython stay where they are, unless the user has bound one of them."""
    history: list[str] = []
    namespace = Namespace({"In": history, "mine": 1, "__name__": "__main__"})
    namespace.own = {"In": history}
    namespace.begin_run([])
    assert namespace["In"] is history and "mine" not in namespace
    namespace.end_run()
    namespace["In"] = "the user's"
    assert namespace.user_names() == ["In", "mine"]


def test_changes_of_bindings(namespace: Namespace) -> None:
    """New, rebound and deleted names are told apart; STORE_GLOBAL, which no subclass sees, included."""
    namespace["gone"], namespace["same"] = 0, [1]
    before = namespace.snapshot()
    exec("def f():\n    global x, fresh\n    x, fresh = 2, 3\nf()\ndel gone\nsame.append(2)", namespace)
    changes = namespace.changes_since(before)
    assert changes.new == {"f", "fresh"} and changes.rebound == {"x"} and changes.deleted == {"gone"}


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> MainModule:
    module = MainModule(Namespace())
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_main_module_shows_the_namespace(main: MainModule) -> None:
    """`import __main__` gives the notebook's names; setting and deleting attributes works."""
    namespace = vars(main)
    assert isinstance(namespace, Namespace) and main.__dict__ is namespace
    exec("a = 1", namespace)
    assert main.a == 1 and "a" in dir(main) and "len" not in dir(main)
    main.b = 2
    assert namespace["b"] == 2
    del main.b
    assert not hasattr(main, "b") and not hasattr(main, "len")
    with pytest.raises(AttributeError, match="no attribute 'b'"):
        del main.b
    assert main.__spec__ is None and main.__name__ == "__main__"


def test_libraries_use_main(main: MainModule) -> None:
    """Dataclasses, type hints and pickle find a class defined in a cell."""
    code = """
import dataclasses, typing, pickle
@dataclasses.dataclass
class Point:
    x: "int" = 1
    other: "typing.Optional[Point]" = None
hints = typing.get_type_hints(Point)
again = pickle.loads(pickle.dumps(Point(3)))
"""
    namespace = vars(main)
    exec(code, namespace)
    assert namespace["hints"] == {"x": int, "other": namespace["Point"] | None}
    assert namespace["again"] == namespace["Point"](3)


def test_main_pickles_by_its_name(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`import __main__` binds a name whose value is each side's own."""
    main = MainModule(namespace)
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert pickle.loads(pickle.dumps([main]))[0] is main


def test_a_librarys_copy_asks_for_what_is_missing(namespace: Namespace) -> None:
    """pandas evaluates a query in copies of its caller's globals; the notebook's own copies are plain dicts."""

    def fetch(name: str) -> bool:
        asked.append(name)
        if name == "limit":
            namespace["limit"] = 3
        return name == "limit"

    asked: list[str] = []
    namespace.fetch = fetch
    found = namespace.copy()
    assert found == {"x": 1}
    assert found["limit"] == found["limit"] == 3
    for name in ("len", "other", "__spec__"):
        with pytest.raises(KeyError):
            found[name]
    assert asked == ["limit", "other"]
    assert type(pickle.loads(pickle.dumps(found))) is dict
    exec("mine = globals().copy()\ndef g(): return globals().copy()\nagain = g()", namespace)
    assert type(namespace["mine"]) is type(namespace["again"]) is type(copy.copy(namespace)) is dict
    namespace.fetch = None
    assert type(namespace.copy()) is dict
