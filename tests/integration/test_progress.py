"""What farcell says of itself while a cell waits: a line that comes after a second and vanishes."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from notebooks import Cell, Notebook


def lines(cell: Cell) -> list[str]:
    """Every text of farcell's own lines, in order; "" where one vanished."""
    found = []
    for _, message in cell.messages:
        content = message["content"]
        if str(content.get("transient", {}).get("display_id", "")).startswith("farcell-line-"):
            found.append(content["data"].get("text/plain", ""))
    return found


def kept(cell: Cell) -> list[dict[str, Any]]:
    """What the notebook would still show."""
    return [output for output in cell.outputs if output.get("data") != {}]


def test_a_target_that_starts_slowly_says_so(notebook: Notebook) -> None:
    slow = notebook.sandbox.folder / "slow-python"
    slow.write_text(f'#!/bin/sh\nsleep 2.5\nexec "{sys.executable}" "$@"\n')
    slow.chmod(0o700)
    folder = notebook.sandbox.jupyter_config / "farcell"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "targets.toml").write_text(f"[targets.slow]\npython = '{slow}'\n")
    cell = notebook.run("%%remote slow\nprint('up')").check()
    said = lines(cell)
    assert said[0].startswith("farcell: starting a kernel on 'slow' (1 s)") and len(said) > 2
    assert said[-1] == "" and "" not in said[:-1]
    assert [output.get("text") for output in kept(cell)] == ["up\n"]


@pytest.fixture
def hasty(notebook: Notebook) -> Notebook:
    """Lines show at once: what takes a second here depends on the machine."""
    notebook.run("%%remote local-attach\nimport numpy as np").check()
    notebook.run("import numpy as np\nfrom farcell.relay import line\nline.SHOW_AFTER_S = 0.0\nline.TICK_S = 0.02").check()
    return notebook


def test_bytes_that_are_sent_and_fetched_show_a_bar(hasty: Notebook) -> None:
    """With how many there are, and their rate; the values are there when it has vanished."""
    hasty.run("big = np.random.default_rng(0).integers(0, 255, 96 << 20, dtype='u1')").check()
    sent = hasty.run("%%remote local-attach\nother = big[::-1].copy()\nprint(big.nbytes)").check()
    bars = [text for text in lines(sent) if "sending to 'local-attach'" in text]
    assert bars and "/101M" in bars[-1] and "B/s" in bars[-1] and lines(sent)[-1] == ""
    back = hasty.run("print(bool((other[::-1] == big).all()))").check()
    assert back.stdout == "True\n"
    assert any("fetching" in text and "/101M" in text for text in lines(back)) and lines(back)[-1] == ""
