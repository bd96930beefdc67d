"""The command line as it is typed: `python -m farcell ...`."""

from __future__ import annotations

import json
import sys
from typing import Any

from sandbox import Sandbox
from services.service import Ended, run


def farcell(box: Sandbox, *words: str) -> Ended:
    """One command's end, whatever it is."""
    return run([sys.executable, "-m", "farcell", *words], box.environment())


def said(box: Sandbox, *words: str, code: int = 0) -> Any:
    """What it says with --json."""
    ended = farcell(box, *words, "--json")
    assert ended.returncode == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)
