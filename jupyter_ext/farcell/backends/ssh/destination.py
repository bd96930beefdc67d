"""Where `ssh` goes, and the argv it is called with. Nothing secret is ever part of one: scripts go by stdin.

Options: ssh(1) and ssh_config(5) of OpenSSH 8.4 and later.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

CONNECT_S = 15
ALIVE_S = 3
"""A link that is silent for three times this long is lost (ServerAliveInterval, ServerAliveCountMax)."""
_COMMON = (
    "-T",
    "-x",
    "-o", f"ConnectTimeout={CONNECT_S}",
    "-o", f"ServerAliveInterval={ALIVE_S}",
    "-o", "ServerAliveCountMax=3",
    "-o", "ExitOnForwardFailure=yes",
    "-o", "StreamLocalBindUnlink=yes",
    "-o", "StreamLocalBindMask=0177",
)  # fmt: skip


@dataclass(frozen=True)
class Destination:
    """`program` is the command line of ssh, usually just that; `host` may be an alias of the user's ssh_config."""

    host: str
    user: str | None = None
    program: tuple[str, ...] = ("ssh",)

    @property
    def key(self) -> str:
        """Short and the same for the same place: part of the name of a socket."""
        return hashlib.blake2b("\0".join((*self.program, self.user or "", self.host)).encode(), digest_size=6).hexdigest()

    def argv(self, *options: str, command: str | None = None) -> list[str]:
        """`options` come first: ssh takes the first of a kind. `command` is a word of the remote login shell, sh, csh or fish."""
        login = ("-l", self.user) if self.user else ()
        return [*self.program, *options, *_COMMON, *login, self.host, *((command,) if command else ())]

    def control(self, path: str, verb: str, *options: str) -> list[str]:
        """A word to the shared connection: check, forward, cancel, exit."""
        login = ("-l", self.user) if self.user else ()
        return [*self.program, "-o", f"ControlPath={path}", "-O", verb, *options, *login, self.host]

    def settings(self) -> list[str]:
        """What ssh makes of all its configuration for this host."""
        login = ("-l", self.user) if self.user else ()
        return [*self.program, "-G", *login, self.host]


def control_path(settings: str) -> str | None:
    """The one that the user's configuration has, from the output of `ssh -G`; None where connections are not shared."""
    for line in settings.splitlines():
        name, _, value = line.partition(" ")
        if name == "controlpath" and value and value != "none":
            return value
    return None
