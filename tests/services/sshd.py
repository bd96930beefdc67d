"""An OpenSSH server of the tests' own, on loopback or at the far end of a `Link`."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from services.network import Link
from services.service import Ended, Service, run


class Sshd(Service):
    """A server with a root and an ordinary account, known by aliases in its own client config: `ssh -F {config} {alias}`.

    `extra`: more lines for sshd_config. `max_sessions`: how many sessions one connection may open (sshd's own default is 10).
    `login_shell`: a further account with that shell, alias `other`. `environment`: set in every session. `link`: the server
    is in its 'cluster', and clients must run in its 'laptop'. Without root all aliases mean the account that runs the tests.
    """

    script: ClassVar[str] = "sshd.sh"
    last_verb: ClassVar[str] = "purge"

    root = "gpu-root"
    user = "gpu-user"
    other = "gpu-other"

    def __init__(
        self,
        *,
        extra: Sequence[str] = (),
        max_sessions: int | None = None,
        login_shell: str | None = None,
        environment: Mapping[str, str] | None = None,
        link: Link | None = None,
    ) -> None:
        super().__init__()
        self._extra = [*extra, *([f"MaxSessions {max_sessions}"] if max_sessions is not None else [])]
        self._login_shell = login_shell
        self._environment = dict(environment or {})
        self._link = link

    @property
    def config(self) -> Path:
        """What clients use, `ssh -F`: aliases, the key, the host's key. An alias with "-mux" behind it shares one connection."""
        return self.folder / "ssh_config"

    @property
    def port(self) -> int:
        return int((self.folder / "port").read_text())

    @property
    def log(self) -> str:
        """What the server said since its last start."""
        return (self.folder / "sshd.log").read_text()

    def account(self, alias: str) -> pwd.struct_passwd:
        """Whom an alias logs in as."""
        name = {self.root: "root", self.user: self._user, self.other: self._other}[alias]
        return pwd.getpwuid(os.getuid()) if os.geteuid() != 0 else pwd.getpwnam(name)

    @property
    def client(self) -> list[str]:
        """The command line of an ssh that knows the aliases; on the link's laptop, if there is a link."""
        words = ["ssh", "-F", str(self.config)]
        return words if self._link is None else self._link.command("laptop", words)

    def command(self, alias: str, command: str, *options: str) -> list[str]:
        """The ssh command that runs this one there."""
        return [*self.client, *options, alias, command]

    def run(self, alias: str, command: str, *options: str, within_s: float = 60) -> Ended:
        """A remote command's end, whatever it is."""
        return run(self.command(alias, command, *options), within_s=within_s)

    def stop(self) -> None:
        """Ends the server, its sessions and what they started; `start` brings it back with the same port and keys."""
        self._call("stop")

    def drop(self) -> None:
        """Kills all sessions, not what they started: clients see their connections end."""
        self._call("drop")

    def freeze(self) -> None:
        """From now on the server answers nobody, and closes nothing."""
        self._call("freeze")

    def thaw(self) -> None:
        self._call("thaw")

    def prefix(self) -> list[str]:
        return [] if self._link is None else self._link.command("cluster", [])

    def variables(self) -> dict[str, str]:
        variables = {
            "SSHD_LISTEN": "127.0.0.1" if self._link is None else self._link.cluster,
            "SSHD_USER": self._user,
            "SSHD_SETENV": " ".join(f"{name}={value}" for name, value in self._environment.items()),
            "SSHD_EXTRA": "\n".join(self._extra),
        }
        if self._login_shell is not None:
            variables |= {"SSHD_OTHER": self._other, "SSHD_SHELL": self._login_shell}
        return variables

    @property
    def _user(self) -> str:
        return f"{self.folder.name}-user"

    @property
    def _other(self) -> str:
        return f"{self.folder.name}-other"
