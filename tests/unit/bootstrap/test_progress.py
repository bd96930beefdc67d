"""What installers say, read as what goes on."""

from __future__ import annotations

import pytest
from farcell.backends.bootstrap import progress
from farcell_host.bootstrap.progress import Reading

PIP = """\
Looking in links: /srv/wheels
Collecting ipykernel>=6.29
  Downloading ipykernel-7.4.0-py3-none-any.whl (121 kB)
Collecting pyzmq>=25 (from ipykernel>=6.29)
  Downloading https://index.example/pyzmq-27.3.0-cp312-abi3-manylinux_2_28_x86_64.whl.metadata (6.0 kB)
Installing collected packages: pyzmq, ipykernel
Successfully installed ipykernel-7.4.0 pyzmq-27.3.0
"""
UV = """\
Resolved 29 packages in 412ms
Downloading debugpy (4.0MiB)
Prepared 29 packages in 1.30s
Installed 29 packages in 38ms
 + asttokens==3.0.2
"""


def texts(output: str) -> list[str]:
    reading = Reading("begun")
    return [reading.text for line in output.splitlines() if reading.see(line)]


def test_pip_is_followed() -> None:
    """Output of pip 26."""
    assert texts(PIP) == [
        "collecting ipykernel",
        "downloading ipykernel-7.4.0-py3-none-any.whl (121 kB)",
        "collecting pyzmq",
        "downloading pyzmq-27.3.0-cp312-abi3-manylinux_2_28_x86_64.whl.metadata (6.0 kB)",
        "installing 2 packages",
    ]


def test_uv_is_followed() -> None:
    """Output of uv 0.13."""
    assert texts(UV) == [
        "fetching 29 packages", "downloading debugpy (4.0MiB)", "installing 29 packages", "installed 29 packages",
    ]  # fmt: skip


def test_packages_are_counted_while_pip_says_nothing() -> None:
    """By those that are there."""
    there = iter([0, 1, 1, 2, 3])
    reading = Reading("begun", lambda: next(there))
    assert reading.see("Processing /c/wheels/stack_data-0.6.3-py3-none-any.whl") and reading.text == "collecting stack_data"
    assert reading.done is None and reading.total is None
    lines = ["Installing collected packages: pyzmq, ipykernel", "", "", "", "Successfully installed"]
    seen = [(reading.see(line), reading.done, reading.total) for line in lines]
    assert seen == [(True, 0, 2), (True, 1, 2), (False, 1, 2), (True, 2, 2), (False, 2, 2)]


@pytest.mark.parametrize(
    ("done", "total", "unit", "shown"),
    [
        (None, None, "", "installing"),
        (3, 12, "", "installing:  25%|"),
        (1 << 20, 1 << 22, "B", "| 1.05M/4.19MB"),
        (0, 0, "B", "installing"),
    ],
)
def test_a_bar_shows_where_all_is_known(done: int | None, total: int | None, unit: str, shown: str) -> None:
    text = progress("installing", done, total, unit)
    assert shown in text and "\n" not in text and len(text) <= 90
