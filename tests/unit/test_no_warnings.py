"""What farcell does under the hood warns of nothing, and makes no warning appear again."""

from __future__ import annotations

import warnings

import pytest
from farcell.capture import reads
from farcell_host.no_warnings import no_warnings


def test_what_was_shown_once_is_not_shown_again() -> None:
    """`catch_warnings` would have the next one from the same place shown anew."""
    registry: dict[str, object] = {}

    def warn() -> None:
        warnings.warn_explicit("old", UserWarning, "lib.py", 7, registry=registry)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        warn()
        with no_warnings():
            warnings.warn("never shown", stacklevel=1)
            reads("'\\d'; 5 is 5\n")
        warn()
    assert [str(each.message) for each in shown] == ["old"]


def test_filters_are_as_they_were_after_an_error() -> None:
    """Also those of one category only."""
    before = list(warnings.filters)  # type: ignore[attr-defined, unused-ignore]
    with pytest.raises(ValueError), no_warnings(DeprecationWarning):
        raise ValueError
    assert list(warnings.filters) == before  # type: ignore[attr-defined, unused-ignore]
