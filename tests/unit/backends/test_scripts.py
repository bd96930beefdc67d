"""Parts of the scripts that targets run, by a real shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from farcell.backends import scripts

LOGIND: dict[str, str] = {
    "busctl": "echo b $KILLS",  # busctl(1), get-property: the type and the value
    "loginctl": "echo $LINGERS",  # loginctl(1), show-user --value
    "systemd-run": 'while [ "$1" != -- ]; do shift; done; shift\n'
    '[ -n "$BUS" ] || { echo Failed to connect to bus; exit 1; }\nexec "$@"',
}


@pytest.mark.parametrize(
    ("kills", "lingers", "bus", "scope", "is_told"),
    [
        ("false", "no", "yes", "", False),
        ("true", "yes", "yes", scripts.SCOPE, False),
        ("true", "no", "yes", scripts.SCOPE, True),
        ("true", "no", "", "", True),
    ],
)
def test_a_host_is_put_beyond_its_login_where_that_would_end_it(
    kills: str, lingers: str, bus: str, scope: str, is_told: bool, tmp_path: Path
) -> None:
    """logind.conf(5), KillUserProcesses: what is in a login's scope is ended with it."""
    for name, body in LOGIND.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KILLS": kills, "LINGERS": lingers, "BUS": bus}
    script = scripts.framed(
        "mark", scripts.scope_part() + "$farcell_scope sh -c 'no-such-python \"$0\"' x 2> /dev/null\necho $?\n"
    )
    script += 'echo "scope:$farcell_scope"\n'
    said = subprocess.run(["sh"], input=script, env=variables, capture_output=True, text=True, timeout=30, check=True).stdout
    assert f"scope:{scope}\n" in said
    assert (f"mark {scripts.ENDED}" in said) == is_told
    assert "\n127\n" in said  # a Python that is not there is still told from one that fails


def test_a_machine_without_logind_is_left_alone() -> None:
    script = scripts.framed("mark", scripts.scope_part()) + 'echo "scope:$farcell_scope"\n'
    said = subprocess.run(
        ["/bin/sh"], input=script, env={"PATH": "/none"}, capture_output=True, text=True, timeout=30, check=True
    )
    assert said.stdout == "\nscope:\n"
