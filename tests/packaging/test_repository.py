"""What the repository may not hold, and what the package says of itself."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import entry_points, metadata
from pathlib import Path

import farcell
import farcell_host
import pytest

ROOT = Path(__file__).parents[2]
REGISTRIES = re.compile(
    "pypi" + r"\.(org|python)|files\.python" + r"hosted|npm" + r"js\.|conda\.anaconda|crates\.io", re.IGNORECASE
)
# Ada is the documentation's own user; what lies in /opt or /usr may be anybody's.
ABSOLUTE = re.compile(r"(?<![\w.$}{~*-])/(home/(?!ada/)|root/|Users/|work/)\w")


def tracked() -> list[Path]:
    """Files of the repository that are text; outside a checkout there is nothing to look at."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("optional: not a git checkout")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


@pytest.mark.parametrize("forbidden", [REGISTRIES, ABSOLUTE], ids=["registry hosts", "absolute paths"])
def test_nothing_of_one_machine_is_in_the_repository(forbidden: re.Pattern[str]) -> None:
    """No file names a package registry's host or a path that only one machine has."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


def test_versions_agree() -> None:
    """The version is written once: the package, its host half and the metadata say the same."""
    assert metadata("farcell")["Version"] == farcell.__version__ == farcell_host.__version__


def test_metadata_says_what_a_user_needs() -> None:
    """Licence, Python versions and extras are in the package's metadata."""
    said = metadata("farcell")
    assert said["Requires-Python"] == ">=3.10"
    assert said["License-Expression"] == "BSD-3-Clause"
    assert {"test", "dev", "docs", "gateway", "ray", "dask", "kubernetes", "covalent"} <= set(
        said.get_all("Provides-Extra") or []
    )


def test_every_registered_backend_can_be_loaded() -> None:
    """What the entry points promise is there, under the name it was registered by."""
    points = {point.name: point.load() for point in entry_points(group="farcell.backends")}
    assert {"local", "local-attach"} <= set(points)
    assert all(point.name == name for name, point in points.items())
