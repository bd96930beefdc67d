"""Data files beside the notebook, on a target that works in another folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebooks import Notebook
from sandbox import Sandbox


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """The target's working folder."""
    folder = tmp_path / "far away"
    folder.mkdir()
    return folder


@pytest.fixture
def direct(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the remote kernel is reached over its own socket, or over zmq."""
    monkeypatch.setenv("FARCELL_DIRECT", getattr(request, "param", "1"))


@pytest.fixture
def nb(direct: None, sandbox: Sandbox, notebook: Notebook, away: Path) -> Notebook:
    folder = sandbox.jupyter_config / "farcell"
    folder.mkdir(parents=True)
    text = f'[targets.away]\nbackend = "local"\ncwd = "{away}"\n[targets.asking]\ncwd = "{away}"\nconfirm_bytes = 1000\n'
    text += f'[targets.attached]\nbackend = "local-attach"\ncwd = "{away}"\n'
    (folder / "targets.toml").write_text(text)
    return notebook


def test_a_file_that_the_cell_names_is_offered_once(nb: Notebook, sandbox: Sandbox, away: Path) -> None:
    """The notice has the option that sends it; nothing goes unasked."""
    (sandbox.folder / "data.csv").write_text("a\n1\n")
    cell = nb.run("%%remote away\nopen('data.csv').read()")
    assert cell.reply["ename"] == "FileNotFoundError"
    assert "This cell names data.csv (4 B), which 'away' has not as here. To send it along: %%remote away --files data.csv\n" in (
        cell.stderr
    )
    assert list(away.iterdir()) == []
    assert (
        "data.csv"
        not in nb.run("%%remote away\nimport os\nos.path.exists(open.__name__) or open('data.csv', 'w').close()").stderr
    )
    assert nb.run("%%remote\nopen('data.csv').read()").check().stderr == ""


def test_files_go_along_and_only_when_they_changed(nb: Notebook, sandbox: Sandbox, away: Path) -> None:
    """By content: an unchanged file is not sent again, a changed one takes the place of the old one."""
    data = sandbox.folder / "data.csv"
    data.write_text("a\n1\n")
    first = nb.run("%%remote away --files data.csv\nopen('data.csv').read()").check()
    assert first.result == "'a\\n1\\n'"
    assert first.stderr.count("data.csv") == 1 and "Sent data.csv (4 B) into the working folder of 'away'." in first.stderr
    written = (away / "data.csv").stat()
    again = nb.run("%%remote away --files data.csv\nopen('data.csv').read()").check()
    assert again.stderr == "" and (away / "data.csv").stat().st_mtime_ns == written.st_mtime_ns
    data.write_text("a\n2\n")
    assert nb.run("%%remote away --files data.csv\nopen('data.csv').read()").check().result == "'a\\n2\\n'"


@pytest.mark.parametrize(("target", "direct"), [("away", "1"), ("attached", "1"), ("attached", "0")], indirect=["direct"])
def test_globs_folders_and_large_files(nb: Notebook, sandbox: Sandbox, away: Path, target: str) -> None:
    """Names with spaces, folders with what is in them, empty files, and one that takes several requests."""
    (sandbox.folder / "in" / "deep").mkdir(parents=True)
    (sandbox.folder / "in" / "deep" / "x.txt").write_text("x")
    (sandbox.folder / "in" / "run.sh").write_text("")
    (sandbox.folder / "in" / "run.sh").chmod(0o755)
    (sandbox.folder / "two words.txt").write_text("w")
    large = bytes(range(256)) * (160 << 10)
    (sandbox.folder / "large.bin").write_bytes(large)
    nb.run(f"%%remote {target} --files in --files 'two words.txt' --files *.bin").check()
    assert (away / "large.bin").read_bytes() == large
    assert (away / "in" / "deep" / "x.txt").read_text() == "x" and (away / "two words.txt").read_text() == "w"
    assert (away / "in" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in away.iterdir()) == ["in", "large.bin", "two words.txt"]


def test_the_files_folder_is_the_notebooks_own(nb: Notebook, sandbox: Sandbox) -> None:
    """After `os.chdir` to a folder that both have, names count from there, and nothing is lacking."""
    (sandbox.folder / "sub").mkdir()
    (sandbox.folder / "sub" / "d.txt").write_text("d")
    nb.run("%%remote away\n1").check()
    nb.run("import os; os.chdir('sub')").check()
    cell = nb.run("%%remote away --files d.txt\nopen('d.txt').read()").check()
    assert (cell.result, cell.stderr) == ("'d'", "")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.csv", "--files none.csv: there is no such file in "),
        ("../x", "--files ../x: only files below the notebook's folder can go along, named from there."),
        ("/etc/hostname", "--files /etc/hostname: only files below the notebook's folder can go along, named from there."),
    ],
)
def test_a_file_that_is_not_there_runs_nothing(nb: Notebook, name: str, says: str) -> None:
    """A typo is told before anything starts."""
    cell = nb.run(f"%%remote away --files {name}\nran = 1")
    assert cell.reply["ename"] == "UsageError" and cell.reply["evalue"].startswith(says)
    assert nb.value("'ran' in globals()") is False


def test_large_files_are_asked_about(nb: Notebook, sandbox: Sandbox, away: Path) -> None:
    """As large values are."""
    (sandbox.folder / "much.bin").write_bytes(bytes(2000))
    cell = nb.run("%%remote asking --files much.bin\n1", answers=["n"])
    assert cell.reply["ename"] == "Refused" and list(away.iterdir()) == []
    nb.run("%%remote asking --files much.bin --yes\n1").check()
    assert (away / "much.bin").stat().st_size == 2000
