"""What an administrator puts on a target for isolation "account" and "pool": the helper's file, and the line that allows it."""

from __future__ import annotations

import shlex
from importlib.resources import files

from . import roothelper
from .policy import HELPER

__all__ = ["HELPER", "helper_text", "sudoers_text"]

SUDOERS = """\
# farcell-broker: the broker's account may run this one program as root, and nothing else. Check with: visudo -cf FILE
Defaults!{helper} env_reset, !setenv, !use_pty, !requiretty, umask=0077, !log_output, !log_input
{account} ALL=(root) NOPASSWD: {helper}
"""


def helper_text(config: str = roothelper.CONFIG, python: str = "/usr/bin/python3") -> str:
    """The file to install, owned by root and 0755; `config` is where it will look, `python` what runs it."""
    text = files("farcell_broker").joinpath("roothelper.py").read_text(encoding="utf-8")
    first, rest = text.split("\n", 1)
    assert first == "#!/usr/bin/python3 -IS"
    line = f'CONFIG = "{roothelper.CONFIG}"\n'
    assert rest.count(line) == 1
    for path in (config, python):
        if not path.startswith("/") or shlex.quote(path) != path:
            raise ValueError(f"{path!r} must be a whole path of ordinary characters, from / on")
    return f"#!{python} -IS\n" + rest.replace(line, f'CONFIG = "{config}"\n')


def sudoers_text(account: str, helper: str = HELPER) -> str:
    """For a file in /etc/sudoers.d; raises ValueError for what is no account's name or no plain path."""
    if not roothelper.ACCOUNT.fullmatch(account) or account == "root":
        raise ValueError(f"{account!r} is no account for the broker, which must not be root")
    if not helper.startswith("/") or shlex.quote(helper) != helper:
        raise ValueError(f"{helper!r} must be a whole path of ordinary characters, from / on")
    return SUDOERS.format(account=account, helper=helper)
