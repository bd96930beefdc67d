"""A notebook's farcell is upgraded while a session of the older one goes on: taken over, or said before anything is lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from notebooks import Notebook
from sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PACKAGES = ("jupyter_ext/farcell", "kernels/farcell_host")
BEFORE_COPYING = "88d9568f6c9a1676fa360c1427f3b5c29d111403"
"""The last commit of protocol 1.0, whose kernels do not know how files are copied now."""

RUN = """
import os, time
print('begun', flush=True)
while not os.path.exists(gate): time.sleep(0.01)
made = {'of': data}
print('done')
"""


class Installed(Sandbox):
    """A place whose notebooks are all kernels of one, and have the farcell of `folder`, or the one under test."""

    def __init__(self) -> None:
        super().__init__()
        self.other: Path | None = None

    def environment(self) -> dict[str, str]:
        own = {"JPY_SESSION_NAME": f"{self.folder}/notebook.ipynb"}
        if self.other is not None:
            own["PYTHONPATH"] = ":".join(str(self.other / Path(each).parent) for each in PACKAGES)
        return {**super().environment(), **own}


@pytest.fixture
def place() -> object:
    box = Installed()
    yield box
    left = box.close()
    assert not left, f"left behind: {left}"


def edited(folder: Path, version: str, protocol: tuple[int, int]) -> Path:
    """This farcell, as another version would call itself."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    host = folder / "kernels" / "farcell_host"
    (host / "__init__.py").write_text(f'__version__ = "{version}"\n')
    names = host / "protocol" / "__init__.py"
    names.write_text(re.sub(r"\nVERSION = .*", f"\nVERSION = {protocol}", names.read_text()))
    return folder


def of_history(folder: Path) -> Path:
    """As it was."""
    archive = folder / "old.tar"
    command = ["git", "-C", str(ROOT), "archive", "-o", str(archive), BEFORE_COPYING, *PACKAGES]
    if shutil.which("git") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("optional: the older farcell is in the repository's history, which is not here (a shallow clone?)")
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


def begin(place: Installed, older: Path) -> tuple[Notebook, Path]:
    """A run that goes on in a session of another farcell, and a notebook of this one in the place of that one's kernel."""
    gate = place.folder / "gate"
    place.other = older
    with Notebook(place) as before:
        before.run(f"%load_ext farcell\ndata, gate = [0], {str(gate)!r}").check()
        before.start("%%remote\n" + RUN).until("begun")
        before.kill()
    place.other = None
    return Notebook(place), gate


@pytest.mark.parametrize("which", ["of the history", "a later minor version"])
def test_a_session_of_another_minor_version_is_taken_over(which: str, place: Installed, tmp_path: Path) -> None:
    """Its run goes on, its output and its values come; what its kernel cannot do is said, and the session stays."""
    older = of_history(tmp_path) if which == "of the history" else edited(tmp_path, "0.9", (1, 7))
    notebook, gate = begin(place, older)
    with notebook:
        offered = notebook.run("%load_ext farcell").check().stderr
        found = re.search(r"Run (\w{8}) on 'local' goes on.*%remote attach", offered)
        assert found is not None, offered
        running = notebook.start(f"%remote attach {found[1]}")
        running.until("begun")
        gate.touch()
        assert running.finish().check().stdout == "begun\ndone\n"
        assert notebook.value("made") == {"of": [0]}
        (place.folder / "file").write_text("")
        notebook.run("%%remote\nopen('file').close()\nmade['of'].append(1)").check()
        assert notebook.value("made") == {"of": [0, 1]}
        cell = notebook.run("%remote put file other")
        if which == "of the history":
            assert cell.error is not None and "was begun by an older farcell" in cell.error.value
            assert notebook.run("%%remote\nlen(made['of'])").check().result == "2"
            notebook.run("%remote stop").check()
            cell = notebook.run("%remote put file other")
        assert cell.check().stdout.startswith("Sent 1 file")


def test_a_session_of_another_major_version_is_said_and_left_alone(place: Installed, tmp_path: Path) -> None:
    """What runs there, how to finish with it, how to end it; the notebook works beside it."""
    older = edited(tmp_path, "0.0.9", (0, 4))
    notebook, gate = begin(place, older)
    with notebook:
        told = notebook.run("%load_ext farcell").check().stderr
        assert "A session of this notebook on 'local' is of farcell 0.0.9, which this farcell (0.1.0) cannot talk to" in told
        assert "It goes on, and nothing of it was ended: a notebook with farcell 0.0.9 takes it over (%remote attach)" in told
        found = re.search(r"%remote sessions --end (s-\w{8}) --yes ends it", told)
        assert found is not None
        assert "is of farcell 0.0.9" in notebook.run("%%remote\n1 + 1").check().stderr
        refused = notebook.run("%remote attach")
        assert refused.error is None or "0.0.9" in refused.error.value
        assert "is of farcell 0.0.9" in refused.stderr + str(refused.error)
        listed = str(notebook.run("%remote sessions").check().displays[0]["text/plain"])
        assert re.search(rf"{found[1]} .* other version ", listed) and "idle" in listed
        asked = notebook.run(f"%remote sessions --end {found[1]}")
        assert "whose runs cannot be asked for here" in asked.stderr + str(asked.error)
        notebook.close()

    # It went on all the while, and the farcell that began it finishes it.
    place.other = older
    with Notebook(place) as again:
        assert "%remote attach" in again.run("%load_ext farcell").check().stderr
        gate.touch()
        assert again.run("%remote attach").check().stdout == "begun\ndone\n"
        assert again.value("made") == {"of": [0]}
        again.kill()
    place.other = None
    with Notebook(place) as last:
        last.run("%load_ext farcell").check()
        assert f"Session {found[1]} on 'local' has ended." in last.run(f"%remote sessions --end {found[1]} --yes").check().stdout


def test_a_farcell_that_is_installed_anew_under_a_notebook(place: Installed, tmp_path: Path) -> None:
    """Its kernel is of the old one still: it says to restart it, and leaves nothing behind."""
    place.other = edited(tmp_path / "site", "0.1.0", (1, 1))
    with Notebook(place) as notebook:
        notebook.run("%load_ext farcell\nimport farcell_host.commands, farcell_host.protocol.client").check()
        edited_host = place.other / "kernels" / "farcell_host"
        (edited_host / "__init__.py").write_text('__version__ = "2.0"\n')
        names = edited_host / "protocol" / "__init__.py"
        names.write_text(names.read_text().replace("VERSION = (1, 1)", "VERSION = (2, 0)"))
        error = notebook.run("%%remote\n1").error
        assert error is not None and "is of farcell 2.0, which this kernel's farcell (0.1.0) cannot talk to" in error.value
        assert "Restart this notebook's kernel" in error.value
        assert not list(place.runtime.glob("s-*"))
        notebook.close()
