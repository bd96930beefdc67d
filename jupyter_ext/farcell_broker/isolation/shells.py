"""A shell on a target's machine, under the account that the broker logs in with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from farcell.backends import scripts
from farcell.backends.base import LaunchOptions, Opened, ShellBackend, backend_named
from farcell.backends.shell import Answer, LocalShell, Shell, bridged, new_mark
from farcell.errors import TargetUnavailable

COMMAND_S = 150.0


class Shells:
    """One a target: logins are shared by all hosts there."""

    def __init__(self) -> None:
        self._backends: dict[str, ShellBackend] = {}

    async def run(self, options: LaunchOptions, command: Sequence[str], given: str = "") -> Answer:
        """Runs one command to its end; `given` is what it reads, and stands in no argument list. Raises TargetUnavailable where
        there is no way to the machine."""
        mark = new_mark()
        # The here-document's end is a word that nobody can guess, so that no line of what is given can be it.
        body = f"farcell_say run\n{shlex.join(command)} << '{mark}'\n{given}\n{mark}\nexit $?\n"
        answer = await (await self._shell(options)).run(scripts.framed(mark, body), mark, timeout_s=COMMAND_S)
        if "run" not in answer.said:
            said = (answer.errors or answer.output).strip()[-1000:] or "(nothing)"
            raise TargetUnavailable(f"{options.target!r}: no command could be run there. It said:\n    {said}")
        return answer

    async def bridge(self, options: LaunchOptions, command: Sequence[str]) -> Opened:
        """The stream that a command's stdin and stdout are."""
        mark = new_mark()
        body = f"farcell_say run\nexec {shlex.join(command)}\n"
        return await bridged(await self._shell(options), scripts.framed(mark, body), mark)

    async def _shell(self, options: LaunchOptions) -> Shell:
        if options.backend == "local":
            return LocalShell(options.target)
        if options.target not in self._backends:
            backend = backend_named(options.backend)
            if not isinstance(backend, ShellBackend):
                raise TargetUnavailable(f"{options.target!r}: the backend {options.backend!r} has no shell to start hosts in.")
            self._backends[options.target] = backend
        return await self._backends[options.target].shell(options)
