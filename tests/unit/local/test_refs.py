"""A ref shows what it stands for and imitates nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from farcell.backends.base import LaunchOptions
from farcell.errors import LostValue, NotHere
from farcell.refs import Ref, human_bytes, name_ref
from farcell.session import RemoteSession
from farcell_host.state import RefInfo

INFO = RefInfo(
    number=-3, type="ndarray", module="numpy", shape=[1000, 20], dtype="float32", device=None, size_bytes=80_000,
    preview="array([[1., 2.]])", reason="kept on the target",
)  # fmt: skip


@pytest.fixture
def ref() -> Iterator[Ref]:
    """A ref of a session that has yet to start its first kernel."""
    session = RemoteSession(LaunchOptions(target="gpu-a"), {})
    made = Ref(session, session.epoch, INFO)
    name_ref(made, "weights")
    yield made


def test_it_shows_what_it_stands_for(ref: Ref) -> None:
    """Type, shape, dtype, size and place, as text and as a table."""
    assert repr(ref) == ("<ref to weights on 'gpu-a': numpy.ndarray, 1000x20, float32, 80.0 kB; .fetch() brings it here>")
    html = ref._repr_mimebundle_()["text/html"]
    assert "1000x20" in html and "array([[1., 2.]])" in html
    assert ref.info.shape == [1000, 20]


@pytest.mark.parametrize(
    "use",
    [
        bool, len, iter, list, int, float, str, next, abs, operator.neg, operator.index,
        lambda ref: ref[0], lambda ref: ref + 1, lambda ref: 1 + ref, lambda ref: ref == 1, lambda ref: ref < 2,
        lambda ref: ref.shape, lambda ref: ref.fit(1), lambda ref: ref(), lambda ref: 1 in ref, lambda ref: f"{ref}",
        lambda ref: setattr(ref, "x", 1), lambda ref: ref.__array__(), lambda ref: ref @ ref,
    ],
)  # fmt: skip
def test_any_other_use_names_the_fetch(ref: Ref, use: Callable[[Any], Any]) -> None:
    """Truth, length, items, arithmetic, comparison, attributes, conversion: an error, never a wrong answer."""
    with pytest.raises(NotHere, match=r"weights is on 'gpu-a'.*\.fetch\(\)"):
        use(ref)


def test_a_value_that_cannot_travel_is_not_said_to_be_fetched(ref: Ref) -> None:
    """The reason stands in place of the fetch."""
    object.__setattr__(ref, "info", replace(INFO, travels=False, reason="weights.log: an open file"))
    assert "stays there (weights.log: an open file)" in repr(ref)
    assert "fetch" not in ref._repr_mimebundle_()["text/html"]
    with pytest.raises(NotHere, match=r"It stays there \(weights.log: an open file\): use it in a %%remote cell on 'gpu-a'"):
        len(ref)


def test_numpy_cannot_convert_it(ref: Ref) -> None:
    """np.asarray does not make an array of one object."""
    numpy = pytest.importorskip("numpy")
    with pytest.raises(NotHere):
        numpy.asarray(ref)
    with pytest.raises(NotHere):
        numpy.add(ref, 1)


@pytest.mark.parametrize("travels", [True, False])
def test_a_ref_of_a_kernel_that_ended_is_lost(ref: Ref, travels: bool) -> None:
    """Whatever is done with it says what to do: run again the cell that made it. It shows no way to fetch it any more."""
    object.__setattr__(ref, "_epoch", 1)
    object.__setattr__(ref, "info", replace(INFO, travels=travels))
    for use in (Ref.fetch, len, str):
        with pytest.raises(LostValue, match="Run the cell that made it again"):
            use(ref)
    assert repr(ref).endswith("80.0 kB; lost with its kernel>")
    assert "with its kernel; it was made at" in ref._repr_mimebundle_()["text/html"]
    assert "fetch" not in ref._repr_mimebundle_()["text/html"]


def test_it_may_lie_in_a_set(ref: Ref) -> None:
    """Python asks for hash only."""
    assert len({ref, ref}) == 1


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (20_000_000_000, "20.0 GB")])
def test_sizes_read_as_people_say_them(size: int, text: str) -> None:
    """Powers of ten."""
    assert human_bytes(size) == text
