"""Which files of the notebook's folder a cell's text names, and which ones `--files` means."""

from __future__ import annotations

from pathlib import Path

import pytest
from farcell import files
from farcell.errors import UsageError
from farcell_host.filedigest import digest_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's, with a.csv and sub/b.txt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("b")
    return tmp_path


@pytest.mark.parametrize(
    ("code", "paths"),
    [
        ("open('a.csv').read()", ["a.csv"]),
        ("with open('a.csv', 'rb') as f: pass", ["a.csv"]),
        ("open('a.csv', 'w')", []),
        ("open('a.csv', mode='a')", []),
        ("df = pd.read_csv(filepath_or_buffer='a.csv', sep=',')", ["a.csv"]),
        ("np.load('sub/b.txt'); Path('a.csv')", ["sub/b.txt", "a.csv"]),
        ("%%time\nopen('a.csv')", ["a.csv"]),
        ("open('none.csv'); open('sub'); open('/etc/hostname'); open('../a.csv')", []),
        ("print('a.csv'); name = 'a.csv'", []),
        ("%%bash\ncat open('a.csv')", []),
        ("def f(): return open('a.csv')", ["a.csv"]),
    ],
)
def test_files_that_a_cell_names(code: str, paths: list[str]) -> None:
    """Literal relative paths that are opened or read, and exist."""
    assert sorted(file.path for file in files.named_in(code, None)) == sorted(paths)


def test_files_that_patterns_mean(folder: Path) -> None:
    """Each file once, a folder with all that is in it, a name before a pattern of the same letters."""
    (folder / "[x].csv").write_text("")
    found = files.matching(["*.csv", "a.csv", "sub", "'[x].csv'", "**/b.txt"])
    assert [file.path for file in found] == ["[x].csv", "a.csv", "sub/b.txt"]


@pytest.mark.parametrize("pattern", ["", "..", "/", "sub/../../a", "*.none"])
def test_patterns_that_mean_nothing(pattern: str) -> None:
    """Or something outside of the notebook's folder."""
    with pytest.raises(UsageError, match="--files"):
        files.matching([pattern])


def test_a_changed_file_has_another_digest(folder: Path) -> None:
    """Also when it was written again within the clock's tick, as long as before."""
    first = digest_of("a.csv")
    (folder / "a.csv").write_text("b")
    assert digest_of("a.csv") != first
