"""A target's Python that can run a kernel, through any shell there: found, or made by the kernel host's own code.

What is decided and done there is `farcell_host.bootstrap`; here is what it is told, and what the person reads of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farcell_host.bootstrap import faults, sources

from ..deaths import of_text
from ..errors import TargetUnavailable
from . import scripts
from .base import LaunchOptions, Tell
from .shell import Answer, Payloads, Shell, Watch, host_zipapp, new_mark

_SOURCES = {"auto": sources.ANY, "ship": sources.SENT, "never": sources.NOTHING}
"""What an environment may be made from, by a target's `environment`."""


class NoEnvironment(TargetUnavailable):
    """No Python there can run a kernel, and none could be made so."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind

    @property
    def is_mended_by_wheels(self) -> bool:
        """What lacks there can be sent from here."""
        return self.kind in (faults.NO_INSTALLER, faults.NO_WHEELS, faults.FAILED)


@dataclass(frozen=True)
class Prepared:
    """`python` runs the kernel host and its kernel; `command`, the target's own Python, runs what needs no packages."""

    python: str
    command: str
    pyz: str
    notices: tuple[str, ...] = ()
    """What the person should know of it."""


class Bootstrap:
    """On one target. All methods run on the shell's loop and raise TargetUnavailable."""

    def __init__(self, shell: Shell, options: LaunchOptions, tell: Tell, env: Mapping[str, str] | None = None) -> None:
        """`env`: variables that are set there before anything else, by default the target's."""
        digest, self._zipapp = host_zipapp()
        self._shell = shell
        self._options = options
        self._tell = tell
        variables = options.env if env is None else env
        self._place = scripts.Place(digest, len(self._zipapp), options.python, options.setup, variables, options.cache_dir)

    async def launch(self, session: str, flags: Sequence[str]) -> tuple[Prepared, Answer]:
        """Starts a kernel host in the runtime folder of that name; the answer's output is that of `launch`, whatever it is."""
        mark = new_mark()
        script = scripts.launch(mark, self._place, self.make_options(), session, flags)
        found, answer = await self._run(mark, script)
        return self._prepared(found, answer), answer

    async def prepare(self) -> Prepared:
        """What a kernel host can be started with."""
        mark = new_mark()
        return self._prepared(*await self._run(mark, scripts.make_environment(mark, self._place, self.make_options())))

    async def describe(self) -> Mapping[str, Any]:
        """`farcell_host.bootstrap.description`, and what is `lacking` for a kernel (None where nothing is), an
        `environment`'s Python that was made before (or None), and the `wheels` that are there."""
        mark = new_mark()
        found, _ = await self._run(mark, scripts.describe(mark, self._place, self.make_options()))
        return found

    async def receive(self, manifest: Mapping[str, Any], wheels: Sequence[Path]) -> None:
        """Sends the manifest of `farcell_host.bootstrap.received`, and those wheels that it says are sent."""
        mark = new_mark()
        head = json.dumps(manifest).encode() + b"\n"
        await self._run(mark, scripts.receive_wheels(mark, self._place), {scripts.WHEELS: [head, *wheels]})

    async def add(self, requirements: Sequence[str]) -> None:
        """Installs these from wheels that were sent, for the Python that runs kernels there."""
        mark = new_mark()
        await self._run(mark, scripts.add_packages(mark, self._place, self.make_options(), requirements))

    def make_options(self) -> list[str]:
        """Of `environment make`, as the target has them."""
        options = self._options
        flags = ["--from", _SOURCES[options.environment]]
        flags += ["--system-site-packages"] if options.system_site_packages else []
        return flags

    async def _run(self, mark: str, script: str, payloads: Payloads | None = None) -> tuple[Mapping[str, Any], Answer]:
        """What the `environment` command found, and all that was said."""
        told = _Told(self._tell, self._options.target)
        answer = await self._shell.run(script, mark, {scripts.HOST: [self._zipapp], **(payloads or {})}, watch=told)
        if scripts.ERROR in answer.said:
            text = answer.said[scripts.ERROR]
            raise TargetUnavailable(f"{self._where}: {text}", of_text(text))
        if told.error is not None:
            error = NoEnvironment(f"{self._where}: {told.error['error']}", told.error["kind"])
            raise self._with_way_out(error)
        if told.found is None:
            raise TargetUnavailable(self._not_run(answer))
        return told.found, answer

    def _prepared(self, found: Mapping[str, Any], answer: Answer) -> Prepared:
        python, lacks, options = answer.said[scripts.PYTHON], found.get("new_since"), self._options
        notices = []
        if lacks is not None:
            sees = "It sees that Python's packages" if options.system_site_packages else "It has none of that Python's packages"
            way = "" if options.system_site_packages else "; system_site_packages = true in targets.toml changes that"
            notices.append(
                f"{options.target!r}: {python} has {lacks}, so an environment was made there for farcell. {sees}{way}."
            )
        if scripts.ENDED in answer.said:
            notices.append(
                f"{options.target!r}: its logind ends this session soon after the last login there, as when the link is lost. "
                "loginctl enable-linger, run there once, changes that."
            )
        return Prepared(found["python"], python, answer.said[scripts.PYZ], tuple(notices))

    @property
    def _where(self) -> str:
        options = self._options
        return f"{options.target!r} ({options.host})" if options.host is not None else repr(options.target)

    def _with_way_out(self, error: NoEnvironment) -> NoEnvironment:
        if not error.is_mended_by_wheels:
            return error
        return NoEnvironment(f"{error}\n%remote env ship {self._options.target} sends what it takes from here.", error.kind)

    def _not_run(self, answer: Answer) -> str:
        said = (answer.errors or answer.output).strip()[-1000:]
        if scripts.PYTHON not in answer.said:
            return f"{self._where}: the login shell did not run what it was sent (exit code {answer.code}). It said:\n    {said}"
        python = answer.said[scripts.PYTHON]
        return (
            f"{self._where}: {python} did not run the kernel host (exit code {answer.code}). "
            f"Is its folder to be seen there: {answer.said.get(scripts.PYZ)}? It said:\n    {said}"
        )


class _Told(Watch):
    """What the `environment` command and the sending of bytes tell, as the person reads it."""

    def __init__(self, tell: Tell, target: str) -> None:
        self.found: Mapping[str, Any] | None = None
        self.error: Mapping[str, Any] | None = None
        self._tell = tell
        self._target = target

    def said(self, word: str, rest: str) -> None:
        if word != scripts.ENVIRONMENT:
            return
        fields = json.loads(rest)
        if "doing" in fields:
            self._tell(progress(f"{fields['doing']} on {self._target!r}", fields["done"], fields["total"]))
        elif "error" in fields:
            self.error = fields
        else:
            self.found = fields
            if scripts.PYTHON in fields:
                self._tell(f"starting a kernel on {self._target!r}")

    def sent(self, name: str, done: int, total: int) -> None:
        if name == scripts.WHEELS:
            self._tell(progress(f"sending wheels to {self._target!r}", done, total, "B"))


def progress(text: str, done: int | None, total: int | None, unit: str = "") -> str:
    """One line, with a bar where all that is to be done is known."""
    if done is None or not total:
        return text
    from tqdm.std import tqdm

    shape = "{l_bar}{bar}| {n_fmt}/{total_fmt}{unit}"
    bar: str = tqdm.format_meter(done, total, 0, prefix=text, unit=unit, unit_scale=bool(unit), ncols=88, bar_format=shape)
    return bar
