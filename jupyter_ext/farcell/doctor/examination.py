"""What the doctor does, hop by hop; each check is told as soon as it is known."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shlex
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from farcell_host import runtime
from farcell_host.chunkstore import cache_folder

from ..backends import scripts
from ..backends.base import LaunchOptions, ShellBackend, Tell, backend_named
from ..backends.bootstrap import Bootstrap
from ..backends.shell import LocalShell, Shell, new_mark
from ..backends.ssh.backend import secret_values
from ..backends.ssh.client import OWN_SUFFIX, run_command
from ..backends.ssh.destination import Destination
from ..errors import TargetUnavailable, UsageError
from . import cluster, machine, script, way
from .checks import Check, Verdict, ok, unchecked, wrong
from .machine import Answers
from .way import Reached

if TYPE_CHECKING:
    from ..backends.ssh.questions import Ask

CONNECT_S = 6.0
SETTINGS_S = 10.0
SCRIPT_S = 90.0
CONFIGURATION, EXTRA, SECRETS, SETUP = "configuration", "packages here", "secrets", "setup"


class Examination:
    """Of one target; `on_check` is called on the event loop's thread, for each check in its turn."""

    def __init__(self, options: LaunchOptions, on_check: Callable[[Check], None], ask: Ask | None, tell: Tell) -> None:
        """`ask` as in a backend's launch: without it nobody is asked for a password."""
        self._options = options
        self._on_check = on_check
        self._ask, self._tell = ask, tell

    async def run(self) -> None:
        options = self._options
        self._on_check(ok(CONFIGURATION, f"{options.target!r} is right in targets.toml: backend {options.backend}"))
        if options.secrets:
            self._on_check(_secrets(options))
        if options.backend == "slurm" and importlib.util.find_spec("cryptography") is None:
            missing = "sessions in jobs need the package cryptography here, for their keys"
            self._on_check(wrong(EXTRA, missing, "pip install 'farcell[slurm]'"))
        shell = await self._shell()
        names = _names(options)
        if shell is None:
            self._say(way.not_reached(names, "there is no way to the machine yet"))
            return
        try:
            await self._look(shell)
        except TargetUnavailable as error:
            self._say([wrong("shell", str(error), "Try again; if it stays so: what does ssh -v say?")])

    def _say(self, checks: Sequence[Check]) -> None:
        for check in checks:
            self._on_check(check)

    async def _shell(self) -> Shell | None:
        options = self._options
        if options.backend.startswith("local"):
            return LocalShell(options.target)
        backend = backend_named(options.backend)
        if not isinstance(backend, ShellBackend):
            raise UsageError(f"{options.target!r}: doctor cannot look into its backend {options.backend}: it has no shell.")
        if options.host is None:
            return await backend.shell(options)
        return await self._logged_in(backend, options, options.host)

    async def _logged_in(self, backend: ShellBackend, options: LaunchOptions, host: str) -> Shell | None:
        destination = Destination(host, options.user, tuple(shlex.split(options.ssh)))
        here = _own_folder(destination)
        self._on_check(here)
        if here.verdict is Verdict.WRONG:
            self._say(
                way.not_reached([way.CONFIGURATION, way.NETWORK, way.HOST_KEY, way.LOGIN, way.SHELL], "ssh cannot be started")
            )
            return None
        try:
            code, text, errors = await run_command(destination.settings(), SETTINGS_S)
        except TargetUnavailable as error:
            code, text, errors = 127, "", str(error)
        found = way.settings(text)
        configuration = way.configuration(host, code, found, errors)
        self._on_check(configuration)
        later = [way.HOST_KEY, way.LOGIN, way.SHELL]
        if configuration.verdict is Verdict.WRONG:
            self._say(way.not_reached([way.NETWORK, *later], "ssh does not know where to go"))
            return None
        if way.goes_directly(found):
            self._tell(f"connecting to {found['hostname']}")
            reached = await asyncio.get_running_loop().run_in_executor(
                None, reach, found["hostname"], int(found.get("port", "22"))
            )
            network = way.network(found["hostname"], found.get("port", "22"), reached)
            self._on_check(network)
            if network.verdict is Verdict.WRONG:
                self._say(way.not_reached(later, "the machine cannot be reached"))
                return None
        else:
            self._on_check(unchecked(way.NETWORK, "the way goes through another machine or program, which the login tries"))
        self._tell(f"logging in on {host}")
        began = time.monotonic()
        try:
            shell = await backend.shell(options, self._ask)
        except TargetUnavailable as error:
            self._say([*way.not_logged_in(options.target, host, str(error), self._ask is not None), _unreached(way.SHELL)])
            return None
        self._say(way.logged_in(host, found.get("user", "?"), time.monotonic() - began))
        return shell

    async def _look(self, shell: Shell) -> None:
        options = self._options
        self._tell(f"asking {options.target!r}")
        if options.host is not None:
            began = time.monotonic()
            try:
                empty = await shell.run(":\n", new_mark(), timeout_s=SCRIPT_S)
                check = way.login_shell(empty.code, empty.output, empty.errors, time.monotonic() - began, options.host)
            except TargetUnavailable as error:
                check = way.login_shell(255, "", str(error), 0.0, options.host)
            self._on_check(check)
            if check.verdict is Verdict.WRONG:
                self._say(way.not_reached(_names(options), "the login shell runs no commands"))
                return
        answers = await _ask(shell, options)
        if options.setup:
            self._on_check(_setup(options, answers))
        if scripts.ERROR in answers.said:
            self._say(way.not_reached(_names(options), "a setup command failed"))
            return
        self._say(await self._of_python(shell, answers))
        if options.backend == "ssh":
            self._on_check(machine.leaving(answers.said))
        if options.backend == "slurm":
            self._say(_of_cluster(options, answers))
        if options.host is not None:
            self._on_check(machine.clock(answers))

    async def _of_python(self, shell: Shell, answers: Answers) -> list[Check]:
        """All that a Python is needed for."""
        options = self._options
        python = machine.pythons(_placed(options), script.pythons(_placed(options)), answers)
        if python.verdict is not Verdict.OK or answers.probe is None:
            return [python, *way.not_reached(_names(options)[1 : _after_python(options)], "there is no Python to look with")]
        found = [python, *machine.session_folders(answers)]
        shown = options.python or str(answers.probe["executable"])
        if options.backend.startswith("local"):
            found += [machine.own_kernel(shown, answers), *machine.cache(answers, makes_environment=False)]
        else:
            kernel, makes = await self._kernel(shell, shown, answers)
            found += [kernel, *machine.cache(answers, makes)]
        found += machine.temporary(answers)
        return found if options.backend == "slurm" else [*found, machine.gpus(answers)]

    async def _kernel(self, shell: Shell, python: str, answers: Answers) -> tuple[Check, bool]:
        """Also whether an environment is to be made."""
        assert answers.probe is not None
        if "error" in answers.probe["cache"]:
            return unchecked(machine.KERNEL, "nothing can be written to the cache folder"), True
        try:
            described = await Bootstrap(shell, _placed(self._options), self._tell).describe()
        except TargetUnavailable as error:
            fix = "What it says tells what to change."
            return wrong(machine.KERNEL, str(error), fix), True
        makes = described.get("lacking") is not None and described.get("environment") is None
        return machine.kernel(self._options, python, described, answers), makes and self._options.environment != "never"


def reach(host: str, port: int) -> Reached:
    """By TCP, until the server has said its first line."""
    began = time.monotonic()
    try:
        with socket.create_connection((host, port), CONNECT_S) as connection:
            connection.settimeout(CONNECT_S)
            said = b""
            try:
                while b"\n" not in said and len(said) < 255 and (more := connection.recv(255)):
                    said += more
            except TimeoutError:
                pass
    except socket.gaierror as error:
        return Reached(fault="name", detail=error.strerror or str(error))
    except ConnectionRefusedError:
        return Reached(fault="refused")
    except TimeoutError:
        return Reached(fault="silent", detail=f"no answer in {CONNECT_S:.0f} s")
    except OSError as error:
        return Reached(fault="other", detail=error.strerror or str(error))
    return Reached(said.decode(errors="replace").strip(), seconds=time.monotonic() - began)


async def _ask(shell: Shell, options: LaunchOptions) -> Answers:
    mark = new_mark()
    sent = time.time()
    answer = await shell.run(script.examine(mark, _placed(options)), mark, timeout_s=SCRIPT_S)
    heard = time.time()
    probe = None
    if script.PROBE in answer.said:
        lines = [line for line in answer.output.splitlines() if line.startswith("{")]
        probe = json.loads(lines[-1]) if lines else None
    return Answers(answer.said, probe, sent, heard)


def _of_cluster(options: LaunchOptions, answers: Answers) -> list[Check]:
    commands = cluster.commands(answers.said)
    if commands.verdict is Verdict.WRONG:
        names = [cluster.TRIAL, cluster.NODES, cluster.GRES, cluster.STATE, cluster.STATE_LOCKS]
        return [commands, *way.not_reached(names, "Slurm does not answer")]
    found = [commands, cluster.trial(options, answers.said)]
    if answers.probe is None:
        return [*found, *way.not_reached([cluster.NODES, cluster.STATE, cluster.STATE_LOCKS], "there is no Python to look with")]
    return [
        *found,
        cluster.nodes(options, answers.probe["nodes"]),
        cluster.gpus(options, answers.said),
        *cluster.state(answers.probe["state"]),
    ]


def _placed(options: LaunchOptions) -> LaunchOptions:
    """On this machine, where this Python is taken if the target names none, and its own cache folder."""
    if options.host is not None:
        return options
    is_job = options.backend == "slurm"
    cache = options.cache_dir if is_job else options.env.get("FARCELL_CACHE_DIR", str(cache_folder()))
    return replace(options, python=options.python or shlex.quote(sys.executable), cache_dir=cache)


def _own_folder(destination: Destination) -> Check:
    folder = runtime.root()
    try:
        runtime.secure(folder)
        runtime.check_length(folder / "ssh", destination.key + OWN_SUFFIX)
    except (OSError, runtime.RuntimeFolderError) as error:
        return way.own_folder(str(folder), str(error))
    return way.own_folder(str(folder), None)


def _secrets(options: LaunchOptions) -> Check:
    try:
        secret_values(options)
    except TargetUnavailable as error:
        return wrong(SECRETS, str(error), "Set it where Jupyter is started.")
    return ok(SECRETS, f"{', '.join(options.secrets)}: set here")


def _setup(options: LaunchOptions, answers: Answers) -> Check:
    if scripts.ERROR in answers.said:
        return wrong(SETUP, answers.said[scripts.ERROR], "Mend setup of the target; try the command in a login shell there.")
    return ok(SETUP, "; ".join(options.setup))


def _unreached(name: str) -> Check:
    return unchecked(name, "there is no login")


def _names(options: LaunchOptions) -> list[str]:
    """What is looked at on the machine, Python first."""
    m = machine
    names = [m.PYTHON, m.RUNTIME, m.SOCKETS, m.KERNEL, m.CACHE, m.LOCKS, m.TEMPORARY, m.SHM]
    if options.backend == "slurm":
        names += [cluster.COMMANDS, cluster.TRIAL, cluster.NODES, cluster.GRES, cluster.STATE, cluster.STATE_LOCKS]
    else:
        names += [m.GPUS]
    names += [m.LEAVING] if options.backend == "ssh" else []
    return [*names, m.CLOCK] if options.host is not None else names


def _after_python(options: LaunchOptions) -> int:
    """How many of those names are answered by a Python, itself counted."""
    return 8 if options.backend == "slurm" else 9
