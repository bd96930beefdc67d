"""Which wheels another Python on another machine takes, and what else these need there."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from farcell.backends.wheels import Closure, download_command, platforms
from farcell_host.bootstrap import description
from packaging.tags import sys_tags


def machine(**fields: Any) -> dict[str, Any]:
    return {"machine": "x86_64", "libc": ["glibc", "2.28"], "macos": "", "python": "3.10.4", "abi": "cp310", **fields}


@pytest.mark.parametrize(
    ("fields", "first", "last", "some"),
    [
        ({}, "manylinux_2_28_x86_64", "linux_x86_64", ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux1_x86_64"]),
        ({"machine": "aarch64", "libc": ["glibc", "2.17"]}, "manylinux_2_17_aarch64", "linux_aarch64", ["manylinux2014_aarch64"]),
        ({"libc": ["musl", ""]}, "musllinux_1_2_x86_64", "linux_x86_64", ["musllinux_1_1_x86_64"]),
        ({"libc": ["", ""], "macos": "14.5", "machine": "arm64"}, "macosx_14_0_arm64", "macosx_14_0_arm64", []),
        ({"libc": ["", ""], "macos": "10.15.7"}, "macosx_10_15_x86_64", "macosx_10_15_x86_64", []),
    ],
)
def test_platforms_are_those_of_the_machine(fields: dict[str, Any], first: str, last: str, some: list[str]) -> None:
    found = platforms(machine(**fields))
    assert (found[0], found[-1]) == (first, last) and set(some) <= set(found)
    assert not [tag for tag in found if tag.startswith("manylinux_2_") and int(tag.split("_")[2]) > 28]


def test_this_machine_takes_all_that_is_found_for_it() -> None:
    """By the rules of the packages' own tool."""
    assert set(platforms(description.describe())) <= {tag.platform for tag in sys_tags()}


def test_downloading_asks_for_the_other_python() -> None:
    command = download_command(machine(), ["ipykernel>=6.29"], Path("/f"))
    assert command[-1] == "ipykernel>=6.29"
    assert command[command.index("--python-version") + 1] == "3.10" and "cp310" in command and "manylinux_2_28_x86_64" in command


def wheel(folder: Path, name: str, *requires: str) -> None:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "".join(f"Requires-Dist: {each}\n" for each in requires)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", text)


def test_what_only_the_other_python_needs_is_missing_and_what_only_this_one_needs_left_out(tmp_path: Path) -> None:
    """`pip download` reads markers for the Python that runs it."""
    wheel(tmp_path, "root", 'old_only>=1.1; python_version < "3.11"', 'new_only; python_version >= "3.11"', "fancy.name[extra]")
    wheel(tmp_path, "new_only")
    wheel(tmp_path, "fancy_name", 'leaf; extra == "extra"', 'never; extra == "other"')
    wheel(tmp_path, "leaf", "root")
    markers = {**description.describe()["markers"], "python_version": "3.10", "python_full_version": "3.10.4"}
    found = Closure(tmp_path, ["root"], markers)
    assert found.missing == {"old-only": "old_only>=1.1"}
    assert [path.name.split("-")[0] for path in found.wheels] == ["fancy_name", "leaf", "root"]
    assert Closure(tmp_path, ["Root[none]"], {**markers, "python_version": "3.12"}).missing == {}
