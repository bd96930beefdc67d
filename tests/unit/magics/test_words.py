"""The words that are completed, here and in the front end, are those that the magics know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from farcell import completion, magics
from farcell.magics import RemoteMagics

FRONT_END = Path(__file__).parents[3] / "labextension" / "src" / "magicwords.ts"


def words(name: str) -> set[str]:
    """Of a list in the front end's source."""
    [found] = re.findall(rf"export const {name} = \[(.*?)\];\n", FRONT_END.read_text(), re.DOTALL)
    return set(re.findall(r"'([^']+)'", found))


@pytest.fixture(scope="module")
def takes_value() -> dict[str, bool]:
    """The options of `%%remote`, and whether a value follows."""
    actions = RemoteMagics.remote_cell.parser._actions
    return {option: action.nargs != 0 for action in actions for option in action.option_strings}


def test_the_kernel_completes_all_options(takes_value: dict[str, bool]) -> None:
    assert set(completion.OPTIONS) == set(takes_value)


def test_the_front_end_completes_all_options(takes_value: dict[str, bool]) -> None:
    assert words("WITH_VALUE") == {option for option, has_value in takes_value.items() if has_value}
    assert words("FLAGS") == {option for option, has_value in takes_value.items() if not has_value}


def test_the_front_end_completes_all_subcommands() -> None:
    assert words("SUBCOMMANDS") == set(magics.SUBCOMMANDS)
    assert words("OF_TARGET") == completion._TAKE_TARGET
