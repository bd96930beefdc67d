"""What is kept on a target is complete or absent."""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path

import pytest
from farcell.backends.wheels import Wheel
from farcell_host.bootstrap import description
from farcell_host.bootstrap.received import receive
from farcell_host.bootstrap.store import Recipe, Store
from farcell_host.errors import FarcellHostError

RECIPE = Recipe.here(("ipykernel", "pip"), None, False)
LIMIT_S = 60.0
NEEDS = ("b>=2", "a")
MEETS = {"family": description.family(), "requirements": ["a", "b>=2"]}


def wait() -> None:
    """Nothing is told."""


def test_an_environment_is_there_once_it_is_kept(tmp_path: Path) -> None:
    """And no more when its Python is gone."""
    store = Store(tmp_path / "cache")
    assert store.environment(RECIPE.digest) is None
    with store.making(RECIPE.digest, wait, LIMIT_S):
        python = store.new_folder(RECIPE.digest) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        assert store.environment(RECIPE.digest) is None
        store.keep(RECIPE.digest, python, RECIPE)
    assert store.environment(RECIPE.digest) == str(python)
    python.unlink()
    assert store.environment(RECIPE.digest) is None


def test_what_a_killed_one_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """And an environment that is whole is not."""
    store = Store(tmp_path)
    left = store.new_folder(RECIPE.digest)
    (left / "lib").mkdir(parents=True)
    other = store.new_folder(Recipe.here(("other",), None, False).digest)
    other.mkdir()
    with store.making(RECIPE.digest, wait, LIMIT_S):
        assert not left.exists() and other.exists()


def test_one_at_a_time_makes_an_environment(tmp_path: Path) -> None:
    """Who waits hears so, and finds what the first one made."""
    store, waiting, order = Store(tmp_path), threading.Event(), list[str]()

    def second() -> None:
        with store.making(RECIPE.digest, waiting.set, LIMIT_S):
            order.append("second")

    thread = threading.Thread(target=second)
    with store.making(RECIPE.digest, wait, LIMIT_S):
        thread.start()
        assert waiting.wait(LIMIT_S)
        order.append("first")
    thread.join(LIMIT_S)
    assert order == ["first", "second"]


def test_waiting_has_an_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.making(RECIPE.digest, wait, LIMIT_S), pytest.raises(TimeoutError), store.making(RECIPE.digest, wait, 0.0):
        pass


@pytest.mark.parametrize("other", [("ipykernel",), ("ipykernel", "pip", "torch")])
def test_another_recipe_is_another_environment(other: tuple[str, ...]) -> None:
    """The order of what is asked for does not count."""
    assert Recipe.here(other, None, False).digest != RECIPE.digest
    assert Recipe.here(("pip", "ipykernel"), None, False).digest == RECIPE.digest
    assert Recipe.here(("ipykernel", "pip"), (), False).digest != RECIPE.digest
    assert Recipe.here(("ipykernel", "pip"), None, True).digest != RECIPE.digest


def wheels(folder: Path) -> list[Wheel]:
    contents = {"a-1-py3-none-any.whl": b"\0\1" * 3_000_000, "b-2-py3-none-any.whl": b"", "c-3-py3-none-any.whl": b"ccc"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [Wheel.at(folder / name) for name in contents]


def stream(found: list[Wheel], meets: object, sent: list[bool]) -> bytes:
    told = {"meets": meets, "wheels": [wheel.as_json(goes) for wheel, goes in zip(found, sent, strict=True)]}
    bodies = (wheel.path.read_bytes() for wheel, goes in zip(found, sent, strict=True) if goes)
    return b"".join([json.dumps(told).encode() + b"\n", *bodies])


def test_wheels_are_received_byte_by_byte_and_known_by_what_they_meet(tmp_path: Path) -> None:
    found, store = wheels(tmp_path), Store(tmp_path / "cache")
    assert store.shipped(NEEDS) is None
    receive(store, io.BytesIO(stream(found, MEETS, [True, True, True])))
    assert store.shipped(NEEDS) == [wheel.name for wheel in found]
    assert store.shipped(("a", "b>=3")) is None  # a later farcell's
    assert all((store.wheels / wheel.name).read_bytes() == wheel.path.read_bytes() for wheel in found)
    (store.wheels / found[2].name).unlink()  # by whoever tidied the cache
    assert store.shipped(NEEDS) is None
    receive(store, io.BytesIO(stream(found, None, [False, False, True])))
    assert store.shipped(NEEDS) is not None


def test_what_was_cut_off_is_absent(tmp_path: Path) -> None:
    """What came whole before is there, so that sending again takes less; the set is not."""
    found, store = wheels(tmp_path), Store(tmp_path / "cache")
    data = stream(found, MEETS, [True, True, True])
    with pytest.raises(FarcellHostError, match=r"c-3-py3-none-any.whl was cut off: 2 of 3 bytes did not come"):
        receive(store, io.BytesIO(data[:-2]))
    assert sorted(path.name for path in store.wheels.iterdir()) == [wheel.name for wheel in found[:2]]
    assert store.shipped(NEEDS) is None


def test_other_bytes_and_other_places_are_refused(tmp_path: Path) -> None:
    found, store = wheels(tmp_path), Store(tmp_path / "cache")
    data = stream(found, None, [True, True, True])
    with pytest.raises(FarcellHostError, match=r"c-3-py3-none-any\.whl came with other bytes"):
        receive(store, io.BytesIO(data[:-1] + b"x"))
    manifest = {"meets": None, "wheels": [{"name": "../../x.whl", "size": 0, "digest": "", "sent": True}]}
    with pytest.raises(FarcellHostError, match="no names of wheels"):
        receive(store, io.BytesIO(json.dumps(manifest).encode() + b"\n"))
    assert not (tmp_path / "x.whl").exists()
