"""Files and folders are copied to every target and back, as they are."""

from __future__ import annotations

import os
from pathlib import Path

from places import Place

MIB = 1 << 20


def test_a_folder_goes_there_and_comes_back(place: Place) -> None:
    """With modes, links, names with blanks and quotes, empty files and large ones; what is there is not sent again."""
    box = place.notebook.sandbox.folder
    ours, theirs, back = box / 'my "data" it\'s', box / "far away", box / "back"
    (ours / "deep").mkdir(parents=True)
    large = os.urandom(40 * MIB + 5)
    (ours / "large.bin").write_bytes(large)
    (ours / "deep" / "run me.sh").write_text("#!/bin/sh\n")
    (ours / "deep" / "run me.sh").chmod(0o755)
    (ours / "deep" / "empty").touch()
    (ours / "link").symlink_to("deep/run me.sh")
    there = f"/{theirs.relative_to('/')}"
    command = f'%remote put "{_quoted(ours)}" "{there}" -t {place.target}'
    assert f"Sent 3 files (41.9 MB) to {theirs} on '{place.target}'." in place.here(command).stdout
    assert "3 files, the same there" in place.here(command).stdout
    assert place.far(f"import os\nsorted(os.listdir({there!r}))").check().result == "['deep', 'large.bin', 'link']"
    assert (theirs / "large.bin").read_bytes() == large
    assert (theirs / "deep" / "run me.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(theirs / "link") == "deep/run me.sh"

    place.far(f"with open({there + '/large.bin'!r}, 'r+b') as file:\n    file.seek(7 << 20)\n    file.write(b'changed')").check()
    fetched = place.here(f'%remote get "{there}" "{back}" --exclude empty -t {place.target}').stdout
    assert f"Fetched 2 files (41.9 MB) from '{place.target}' to {back}." in fetched
    assert (back / "large.bin").read_bytes() == large[: 7 * MIB] + b"changed" + large[7 * MIB + 7 :]

    refused = place.notebook.run(command)
    assert f"{theirs}/large.bin: what is on '{place.target}' is newer, and another. Nothing was written." in refused.stderr + str(
        refused.error
    )
    assert "Of that 1.0 MB travelled." in place.here(command + " --overwrite").stdout
    assert (theirs / "large.bin").read_bytes() == large


def _quoted(path: Path) -> str:
    """Within double quotes."""
    return str(path).replace('"', '\\"')
