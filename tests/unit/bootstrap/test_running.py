"""An installer's process: its lines, and its end."""

from __future__ import annotations

import os
import sys
import time

import psutil
import pytest
from farcell_host.bootstrap.faults import NobodyListens
from farcell_host.bootstrap.running import TooLong, lines_of


def run(code: str, listener: int | None = None, limit_s: float = 60) -> tuple[int, list[str]]:
    lines: list[str] = []
    return lines_of([sys.executable, "-c", code], os.environ, lines.append, listener, limit_s), lines


def test_lines_come_whole_and_the_exit_code_with_them() -> None:
    """Also a bar that is written over, and a last line without an end."""
    code = (
        "import sys; print('one'); sys.stderr.write('two\\n'); print('10 %\\r20 %'); sys.stdout.write('\\xe9\\nend'); sys.exit(3)"
    )
    ended, lines = run(f"import sys; sys.stdout.reconfigure(line_buffering=True, encoding='utf-8'); {code}")
    assert ended == 3
    assert lines == ["one", "two", "10 %", "20 %", "é", "end"]


def test_what_takes_too_long_is_ended_with_all_that_it_started() -> None:
    lines: list[str] = []
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '1000']).pid, flush=True); time.sleep(1000)"
    with pytest.raises(TooLong):
        lines_of([sys.executable, "-c", code], os.environ, lines.append, None, 2.0)
    _ended(int(lines[0]))


def test_nothing_goes_on_when_nobody_listens_any_more() -> None:
    """As when the cell that waits is interrupted: the connection's end is seen at once, not at the next line."""
    reading, writing = os.pipe()
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        os.close(reading)

    code = "import subprocess, time; print(subprocess.Popen(['sleep', '1000']).pid, flush=True); time.sleep(1000)"
    began = time.monotonic()
    with pytest.raises(NobodyListens):
        lines_of([sys.executable, "-c", code], os.environ, on_line, writing)
    assert time.monotonic() - began < 60
    os.close(writing)
    _ended(int(lines[0]))


def test_a_command_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        lines_of(["/no/such/uv"], os.environ, print, None)


def _ended(pid: int) -> None:
    """Its parent is gone; whoever has adopted it may not have looked yet."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            process.wait(10)
    except psutil.NoSuchProcess:
        pass
