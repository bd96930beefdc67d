"""The harness empties the folder that programs run in, on the target too: it may never be anybody's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from transparency.reset import Baseline


@pytest.mark.parametrize("where", ["home", "home/work", "box", "box-beside"])
def test_a_folder_that_is_not_in_the_sandbox_is_never_emptied(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target over ssh without a `cwd` starts in the account's home. It is refused before any program runs."""
    (tmp_path / "box").mkdir()
    folder = tmp_path / where
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    with pytest.raises(RuntimeError, match="which is not below"):
        Baseline(str(tmp_path / "box"))
