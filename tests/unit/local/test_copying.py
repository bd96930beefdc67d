"""Copies from one side to the other, here between two sides of one machine: what travels, and what is refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from farcell.copying import REQUEST_BYTES, Copied, Here, Progress, copy
from farcell.errors import Refused
from farcell_host.files import PIECE_BYTES
from farcell_host.filetree import needed_room
from farcell_host.partfile import PartFile, part_of

OLD_S, NEW_S = 1_600_000_000, 1_700_000_000


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder with two files, a folder within, an empty one, and a link."""
    folder = tmp_path / "ours" / "my data"
    (folder / "deep" / "empty").mkdir(parents=True)
    (folder / 'it\'s "a" file').write_text("a")
    (folder / "deep" / "run.sh").write_text("b")
    (folder / "deep" / "run.sh").chmod(0o751)
    (folder / "deep" / "empty").chmod(0o500)
    (folder / "link").symlink_to("deep/run.sh")
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return tmp_path / "theirs" / "data"


def put(
    path: Path,
    there: Path | str,
    *,
    exclude: tuple[str, ...] = (),
    overwrite: bool = False,
    sides: tuple[Here, Here] | None = None,
) -> Copied:
    one, other = sides or (Here(contextlib.nullcontext), Here(contextlib.nullcontext))
    progress = Progress()
    copied = copy(
        one,
        other,
        str(path),
        str(there),
        exclude=exclude,
        overwrite=overwrite,
        confirm=lambda size, largest: None,
        progress=progress,
    )
    assert progress.done == progress.total
    return copied


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_goes_as_it_is(ours: Path, theirs: Path) -> None:
    """Names, modes, times of change, links and empty folders."""
    os.utime(ours / "deep" / "run.sh", (OLD_S, OLD_S))
    copied = put(ours, theirs)
    assert (copied.root, copied.files, copied.bytes) == (str(theirs), 2, 2)
    assert names(theirs) == names(ours)
    there = (theirs / "deep" / "run.sh").stat()
    assert (there.st_mode & 0o777, there.st_mtime) == (0o751, OLD_S)
    assert (theirs / "deep" / "empty").stat().st_mode & 0o777 == 0o500
    assert os.readlink(theirs / "link") == "deep/run.sh"


def test_what_is_there_does_not_travel(ours: Path, theirs: Path) -> None:
    """By size and time of change, and where these differ by content."""
    put(ours, theirs)
    assert put(ours, theirs).sent == ()
    os.utime(theirs / "deep" / "run.sh", (OLD_S, OLD_S))
    assert put(ours, theirs).sent == ()
    (ours / "deep" / "run.sh").write_text("c")
    assert put(ours, theirs).sent == ("deep/run.sh",)
    assert (theirs / "deep" / "run.sh").read_text() == "c"


def test_only_changed_pieces_of_a_large_file_travel(tmp_path: Path, theirs: Path) -> None:
    """It may have grown, too; the one in its place is never half written."""
    file = tmp_path / "large.bin"
    content = bytearray(os.urandom(5 * PIECE_BYTES + 100))
    file.write_bytes(content)
    assert put(file, theirs).travelled == len(content)
    with open(theirs, "rb") as before:
        content[2 * PIECE_BYTES] ^= 1
        content += b"more"
        file.write_bytes(content)
        copied = put(file, theirs)
        assert copied.travelled == PIECE_BYTES + 104 and copied.bytes == len(content)
        assert theirs.read_bytes() == content and len(before.read()) == len(content) - 4


def test_an_interrupted_copy_is_gone_on_with(tmp_path: Path, theirs: Path) -> None:
    """What had come need not come again, though both sides have forgotten it."""

    class Interrupted(Here):
        writes = 0

        def ask(self, operation, contents=None, **arguments):  # type: ignore[no-untyped-def]
            self.writes += operation == "write"
            if self.writes == 2:
                self._files.close()
                raise KeyboardInterrupt
            return super().ask(operation, contents, **arguments)

    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(REQUEST_BYTES + 3 * PIECE_BYTES))
    with pytest.raises(KeyboardInterrupt):
        put(file, theirs, sides=(Here(contextlib.nullcontext), Interrupted(contextlib.nullcontext)))
    assert not theirs.exists() and Path(part_of(str(theirs))).exists()
    assert put(file, theirs).travelled == 3 * PIECE_BYTES
    assert theirs.read_bytes() == file.read_bytes() and names(theirs.parent) == ["data"]


def test_two_copies_of_one_file_do_not_mix(ours: Path, theirs: Path) -> None:
    theirs.parent.mkdir()
    going_on = PartFile(str(theirs))
    with pytest.raises(Refused, match=r"\.data\.farcell-part is being written: another transfer of the same file goes on"):
        put(ours / "deep" / "run.sh", theirs)
    going_on.discard()
    put(ours / "deep" / "run.sh", theirs)


def test_newer_content_is_not_overwritten(ours: Path, theirs: Path) -> None:
    """Nothing at all is written then, unless that is wanted."""
    put(ours, theirs)
    (ours / "deep" / "run.sh").write_text("mine")
    (theirs / "deep" / "run.sh").write_text("theirs, later")
    os.utime(ours / "deep" / "run.sh", (OLD_S, OLD_S))
    (ours / "new").write_text("n")
    with pytest.raises(Refused, match=r"deep/run\.sh: what is here is newer, and another\. Nothing was written\. --overwrite"):
        put(ours, theirs)
    assert not (theirs / "new").exists() and (theirs / "deep" / "run.sh").read_text() == "theirs, later"
    assert set(put(ours, theirs, overwrite=True).sent) == {"deep/run.sh", "new"}
    assert (theirs / "deep" / "run.sh").read_text() == "mine"


@pytest.mark.parametrize("leads_to", ["/etc", "../../elsewhere", "../.."])
def test_links_that_lead_out_are_refused(ours: Path, theirs: Path, leads_to: str) -> None:
    """On the side that is read; leaving them out is a way."""
    (ours / "deep" / "out").symlink_to(leads_to)
    if leads_to == "../..":  # of the folder's own parent
        (ours.parent / "beside").write_text("secret")
    with pytest.raises(Refused, match=r"Links in .* lead out of it: deep/out \(to "):
        put(ours, theirs)
    assert not theirs.exists()
    assert put(ours, theirs, exclude=("out",)).files == 2


def test_nothing_is_written_through_a_link_that_leads_out(ours: Path, theirs: Path, tmp_path: Path) -> None:
    """A folder there that is a link to somewhere else, or a file."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    theirs.mkdir(parents=True)
    (theirs / "deep").symlink_to(elsewhere)
    with pytest.raises(Refused, match=r"deep would be written outside of .*: a link there leads to .*elsewhere"):
        put(ours, theirs)
    (theirs / "deep").unlink()
    (theirs / 'it\'s "a" file').symlink_to(elsewhere / "file")
    with pytest.raises(Refused, match=r"would be written outside of "):
        put(ours, theirs)
    assert names(elsewhere) == ["file"] and (elsewhere / "file").read_text() == "mine"


def test_links_within_are_links_there(ours: Path, theirs: Path) -> None:
    """Also one by a whole path."""
    (ours / "deep" / "whole").symlink_to(ours / 'it\'s "a" file')
    put(ours, theirs)
    assert os.readlink(theirs / "deep" / "whole") == '../it\'s "a" file'
    assert put(ours, theirs).sent == ()


def test_where_it_goes(ours: Path, tmp_path: Path) -> None:
    """A file into a folder that is there; a folder to its own place, into another one by a `/` at the end."""
    there = tmp_path / "there"
    there.mkdir()
    file = ours / "deep" / "run.sh"
    assert put(file, there).root == str(there / "run.sh")
    assert put(file, there / "other").root == str(there / "other")
    assert put(file, f"{there}/new/").root == str(there / "new" / "run.sh")
    assert put(ours, f"{there}/").root == str(there / "my data")
    assert put(ours, f"{there}/").sent == ()
    with pytest.raises(Refused, match=r"other is a file already"):
        put(ours, there / "other")
    (there / "deep").write_text("no folder")
    with pytest.raises(Refused, match=r"deep is a file there, and a folder here"):
        put(ours, there)


def test_what_is_excluded(ours: Path, theirs: Path) -> None:
    """By name or by path; a folder with all that is in it."""
    (ours / "deep" / "x.pyc").write_text("")
    put(ours, theirs, exclude=("*.pyc", "deep/empty", "it*"))
    assert names(theirs) == ["deep", "deep/run.sh", "link"]


def test_what_is_no_file(ours: Path, theirs: Path, tmp_path: Path) -> None:
    os.mkfifo(ours / "pipe")
    assert put(ours, theirs).skipped == ("pipe",)
    with pytest.raises(Refused, match="is neither a file nor a folder"):
        put(ours / "pipe", theirs)
    with pytest.raises(Refused, match="There is no "):
        put(tmp_path / "none", theirs)
    (tmp_path / os.fsdecode(b"f\xff")).mkdir()
    (tmp_path / os.fsdecode(b"f\xff") / os.fsdecode(b"\xff")).write_text("")
    with pytest.raises(Refused, match="is not UTF-8: rename it"):
        put(tmp_path / os.fsdecode(b"f\xff"), theirs)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, theirs: Path) -> None:
    """Nothing takes its place that is half of one and half of the other."""
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(REQUEST_BYTES + 1))

    class Changing(Here):
        def ask(self, operation, contents=None, **arguments):  # type: ignore[no-untyped-def]
            if operation == "read":
                with open(file, "r+b") as changed:
                    changed.write(b"x")
            return super().ask(operation, contents, **arguments)

    with pytest.raises(Refused, match="was changed while it was read"):
        put(file, theirs, sides=(Changing(contextlib.nullcontext), Here(contextlib.nullcontext)))
    assert not theirs.exists()


def test_a_part_that_is_a_strangers_is_not_written_through(ours: Path, theirs: Path, tmp_path: Path) -> None:
    """In a folder that all may write to, a link may lie in wait."""
    target = tmp_path / "precious"
    target.write_text("p")
    theirs.parent.mkdir()
    Path(part_of(str(theirs))).symlink_to(target)
    with pytest.raises(Refused, match=r"\.data\.farcell-part"):
        put(ours / "deep" / "run.sh", theirs)
    assert target.read_text() == "p"


def test_the_room_that_is_needed() -> None:
    """Each file is written beside its old self, and takes its place before the next one begins."""
    assert needed_room([]) == 0
    assert needed_room([(10, 0), (10, 0)]) == 20
    assert needed_room([(10, 10), (10, 10)]) == 10
    assert needed_room([(10, 30), (15, 0)]) == 10


def test_many_small_files_in_few_requests(tmp_path: Path, theirs: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1500):
        (folder / str(number)).write_text(str(number))
    asked: list[str] = []

    class Counting(Here):
        def ask(self, operation, contents=None, **arguments):  # type: ignore[no-untyped-def]
            asked.append(operation)
            return super().ask(operation, contents, **arguments)

    put(folder, theirs, sides=(Here(contextlib.nullcontext), Counting(contextlib.nullcontext)))
    assert asked == ["place", "folders", "write", "write"]
    assert len(names(theirs)) == 1500
