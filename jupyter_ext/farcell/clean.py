"""What farcell has left on a target, asked of its kernel host's own command (`farcell_host.leftovers`), and its removal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .backends import scripts
from .backends.base import LaunchOptions, ShellBackend, Tell, backend_named
from .backends.shell import host_zipapp, new_mark
from .backends.slurm.scripts import state_folder
from .errors import TargetUnavailable, UsageError

if TYPE_CHECKING:
    from .backends.ssh.questions import Ask

ASK_S = 120.0
SOME = 200
"""So many paths go along with one question: an argument list has an end."""


@dataclass(frozen=True)
class Leftover:
    """As `farcell_host.leftovers` has it; an older target's may have other fields beside."""

    kind: str
    path: str
    bytes: int
    age_s: float
    why: str
    stale: bool
    used: str = ""


class Cleaning:
    """Of one target. Both methods are for the connection thread's loop, and raise TargetUnavailable."""

    def __init__(self, options: LaunchOptions, ask: Ask | None, tell: Tell) -> None:
        self._options, self._person, self._tell = options, ask, tell
        self._backend: Any = None

    async def found(self) -> list[Leftover]:
        return await self._ask([])

    async def remove(self, paths: Sequence[str]) -> list[Leftover]:
        """What was removed of them: what has come into use meanwhile stays."""
        removed: list[Leftover] = []
        for start in range(0, len(paths), SOME):
            removed += await self._ask(["--remove", *paths[start : start + SOME]])
        return removed

    async def _ask(self, arguments: Sequence[str]) -> list[Leftover]:
        lines = self._here(arguments) if self._options.backend.startswith("local") else await self._there(arguments)
        return [Leftover(**json.loads(line)) for line in lines if line.startswith("{")]

    def _here(self, arguments: Sequence[str]) -> list[str]:
        words = [sys.executable, "-m", "farcell_host", "leftovers", *arguments]
        environment = {**os.environ, **self._options.env}
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASK_S, check=False
        )
        if done.returncode != 0:
            raise TargetUnavailable(f"What is left on this machine could not be looked at: {done.stderr.strip()[-1000:]}")
        return done.stdout.splitlines()

    async def _there(self, arguments: Sequence[str]) -> list[str]:
        options = self._options
        if self._backend is None:
            self._backend = backend_named(options.backend)
        if not isinstance(self._backend, ShellBackend):
            raise UsageError(f"{options.target!r}: its backend {options.backend} has no shell to look there with.")
        self._tell(f"logging in on {options.target!r}")
        shell = await self._backend.shell(options, self._person)
        self._tell(f"looking at {options.target!r}")
        digest, data = host_zipapp()
        python = shlex.quote(sys.executable) if options.python is None and options.host is None else options.python
        place = scripts.Place(digest, len(data), python, options.setup, options.env, options.cache_dir)
        state = state_folder(options.state_dir) if options.backend == "slurm" else "''"
        mark = new_mark()
        script = scripts.leftovers(mark, place, state, arguments)
        answer = await shell.run(script, mark, {scripts.HOST: [data]}, ASK_S)
        if scripts.ERROR in answer.said or "run" not in answer.said or answer.code != 0:
            said = answer.said.get(scripts.ERROR) or (answer.errors or answer.output).strip()[-1000:] or "(nothing)"
            raise TargetUnavailable(f"{options.target!r}: what is left there could not be looked at. It said:\n    {said}")
        return answer.output.splitlines()
