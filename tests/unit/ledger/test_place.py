"""Where the ledger is, and who may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from farcell.ledger import Ledger, open_ledger
from farcell.ledger.place import ledger_path
from ledgers import contents, run, session, sql
from sandbox import Sandbox


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_it_lies_in_jupyters_data_folder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """JUPYTER_DATA_DIR counts, as for everything in Jupyter."""
    monkeypatch.delenv("FARCELL_LEDGER", raising=False)
    assert open_ledger().path == sandbox.folder / "data" / "farcell" / "ledger.sqlite"
    assert open_ledger() is open_ledger()


def test_farcell_ledger_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative one counts from where the notebook is now, wherever it goes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARCELL_LEDGER", "mine.sqlite")
    assert ledger_path() == tmp_path / "mine.sqlite"
    monkeypatch.setenv("FARCELL_LEDGER", "~/mine.sqlite")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert ledger_path() == tmp_path / "home" / "mine.sqlite"


def test_dev_null_is_no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept, nothing was used, and nobody is warned."""
    monkeypatch.setenv("FARCELL_LEDGER", "/dev/null")
    ledger = open_ledger()
    assert (ledger.path, ledger.record(run()), ledger.usage(), ledger.run_usage("r1")) == (None, False, [], None)


def test_only_the_user_may_read_it(open_umask: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """0600 in a 0700 folder whatever the umask, its write-ahead log and lock too."""
    monkeypatch.delenv("FARCELL_LEDGER", raising=False)
    ledger = open_ledger()
    assert ledger.path is not None and ledger.record(session())
    with ledger._reading():  # keeps the log there
        ledger.record(run())
        files = {path.name: mode(path) for path in ledger.path.parent.iterdir()}
    assert mode(ledger.path.parent) == "0o700"
    assert set(files.values()) == {"0o600"} and {"ledger.sqlite", "ledger.sqlite.lock", "ledger.sqlite-wal"} <= set(files)


def test_one_that_others_could_read_is_closed_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both the default folder and the file."""
    monkeypatch.delenv("FARCELL_LEDGER", raising=False)
    path = ledger_path()
    assert path is not None and Ledger(path).record(run())
    path.chmod(0o644)
    path.parent.chmod(0o755)
    assert Ledger(path).record(run())
    assert (mode(path), mode(path.parent)) == ("0o600", "0o700")


def test_a_folder_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    """FARCELL_LEDGER may point anywhere."""
    tmp_path.chmod(0o755)
    assert Ledger(tmp_path / "mine.sqlite").record(run())
    assert mode(tmp_path) == "0o755"


def test_a_wrong_path_changes_nothing_there(tmp_path: Path) -> None:
    """Neither a folder's mode nor another program's database."""
    folder, other = tmp_path / "folder", tmp_path / "other.sqlite"
    folder.mkdir(mode=0o755)
    sql(other, "CREATE TABLE mine (x)")
    other.chmod(0o644)
    before = other.read_bytes()
    assert not Ledger(folder).record(run()) and not Ledger(other).record(run())
    assert (mode(folder), mode(other), other.read_bytes()) == ("0o755", "0o644", before)


@pytest.mark.parametrize("name", ["with spaces", "100%25?x=#1", "new\nline", "quote'\"s", "caf\udce9"], ids=ascii)
def test_any_path_will_do(name: str, tmp_path: Path) -> None:
    """Spaces, quotes, percent signs, bytes that are no text."""
    ledger = Ledger(tmp_path / name / f"{name}.sqlite")
    assert ledger.record(run())
    assert [row.runs for row in ledger.usage()] == [1]
    assert ledger.path is not None and ledger.path.is_file()


def test_a_link_leads_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log and lock lie beside the file itself, whichever name it is called by."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "real" / "ledger.sqlite")
    monkeypatch.setenv("FARCELL_LEDGER", str(tmp_path / "link.sqlite"))
    assert open_ledger().record(run())
    assert (tmp_path / "real" / "ledger.sqlite.lock").exists()
    assert len(contents(tmp_path / "real" / "ledger.sqlite")["runs"]) == 1
