"""What an administrator installs: the helper as one file, and its line of sudoers."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from farcell_broker.cli import main
from farcell_broker.install import helper_text, sudoers_text


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The command's own is 077, for the process that it is."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_the_helper_is_one_file_that_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["helper", "--config", "/etc/other.conf", "--python", "/opt/python/bin/python3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#!/opt/python/bin/python3 -IS\n") and 'CONFIG = "/etc/other.conf"\n' in text
    imported = {name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {each.partition(".")[0] for each in imported} <= sys.stdlib_module_names
    assert main(["helper", "--config", "relative"]) == 1
    assert main(["helper", "--python", '/bin/python"; import os #']) == 1


def test_the_helper_starts_no_shell() -> None:
    text = helper_text()
    for never in ("shell=True", "os.system", "os.popen", '"sh"', "/bin/sh -c", "eval(", "exec("):
        assert never not in text


def test_the_line_of_sudoers_is_for_one_program_and_one_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sudoers", "farcell-broker"]) == 0
    text = capsys.readouterr().out
    assert "farcell-broker ALL=(root) NOPASSWD: /usr/local/sbin/farcell-broker-helper\n" in text and "ALL=(ALL)" not in text
    for account in ("root", "", "%wheel", "a b", "ALL ALL=(ALL) NOPASSWD: ALL\n", "-x"):
        with pytest.raises(ValueError, match="no account for the broker"):
            sudoers_text(account)
    with pytest.raises(ValueError, match="whole path"):
        sudoers_text("farcell-broker", "/bin/helper, /bin/sh")
    visudo = shutil.which("visudo", path="/usr/sbin:/sbin:/usr/bin")
    if visudo is None:
        pytest.skip("optional: users: visudo is missing: apt-get install sudo")
    file = tmp_path / "sudoers"
    file.write_text(text)
    done = subprocess.run([visudo, "-cf", str(file)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
