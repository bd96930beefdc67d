"""Which distributions are compared with a target's, and what an installer is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from farcell import environment
from farcell.backends.base import LaunchOptions
from farcell.errors import Refused, UsageError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for packages, on the search path."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def put(site: Path, name: str, version: str, root: str, url: dict[str, object] | None = None) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(f"{root}\n")
    if url is not None:
        (info / "direct_url.json").write_text(json.dumps(url))


def compared(versions: dict[str, str | None], options: LaunchOptions, prefix: str = "/there") -> environment.Comparison:
    return environment.compare(options, {"python": "3.12.1", "prefix": prefix, "versions": versions})


FAR = LaunchOptions("far", "ssh")


def test_a_distribution_is_found_by_its_package(site: Path) -> None:
    """Whatever it is called; the standard library has none, and the kernel's is the target's own affair."""
    put(site, "Fc-Image", "1.0", "fc_picture")
    roots = environment.roots_of(["fc_picture.deep.leaf", "os.path", "json", "IPython.display"])
    assert roots == {"fc_picture"}
    assert environment.distributions(roots) == ["Fc-Image"]


def test_versions_differ_by_their_public_part(site: Path) -> None:
    """`+cpu` says for which machine it was built; what is missing differs too."""
    put(site, "fc_same", "2.1.0+cpu", "fc_same")
    put(site, "fc_none", "1.0", "fc_none")
    found = compared({"fc_same": "2.1.0+cu121", "fc_none": None}, FAR)
    assert [each.as_text for each in found.differences] == ["fc_none not installed (here 1.0)"]
    assert environment.requirements(found, "far") == ["fc_none==1.0"]


def test_requirements_say_where_a_package_came_from(site: Path) -> None:
    """A commit of a repository, an archive; what came from a folder of this machine is refused by name."""
    put(site, "fc_git", "1.0", "a", {"url": "https://h/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    put(site, "fc_zip", "1.0", "b", {"url": "https://h/z.zip", "archive_info": {}})
    put(site, "fc_dir", "1.0", "c", {"url": "file:///srv/z", "dir_info": {}})
    assert environment.requirement("fc_git") == "fc_git @ git+https://h/r@abc"
    assert environment.requirement("fc_zip") == "fc_zip @ https://h/z.zip"
    with pytest.raises(Refused, match="fc_dir: installed here from a folder of this machine"):
        environment.requirements(compared({"fc_dir": None, "fc_zip": None}, FAR), "far")


def test_the_notebooks_own_environment_is_known() -> None:
    """By the target's Python, or by where the target says that its packages are; never on another machine."""
    assert compared({}, LaunchOptions()).is_own
    assert compared({}, LaunchOptions(python="/other/python"), sys.prefix).is_own
    assert not compared({}, LaunchOptions(python="/other/python")).is_own
    assert not compared({}, FAR, sys.prefix).is_own
    with pytest.raises(Refused, match="there is nothing to bring in line"):
        environment.requirements(compared({}, LaunchOptions()), "local")


def test_names_of_packages_are_checked() -> None:
    """As they are called, not as they were typed."""
    assert environment.installed(["IPython"]) == ["ipython"]
    with pytest.raises(UsageError, match="'fc_nowhere' is not installed here"):
        environment.installed(["fc_nowhere"])


def test_what_farcell_needs_for_itself_is_left_out() -> None:
    """Unless a name of the notebook is bound to it."""
    import pytest as named

    found = environment.imported({"t": named})
    assert "pytest" in found and "ipykernel" not in found and "farcell" not in found
