"""The magics: parse a line, call the API, show the result.

`%%remote` runs its cell on a target, `%remote SUBCOMMAND` steers sessions, `%%local` keeps a cell here under `%remote on`.

Line numbers: the code is sent with the lines above it (`%%remote`, a `%%time` above that) as comment lines, so that
tracebacks show the notebook's own numbers.
"""

from __future__ import annotations

import argparse
import ast
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.error import InputRejected, UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from .api import Remote, Workspace, workspace
from .errors import FarcellError, Refused
from .relay.notebook import Notebook
from .switch import REMOTE_CELL, Switch, code_lines
from .tracebacks import Tracebacks
from .words import split_names, split_words

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

    from .refs import Ref
    from .targets import Target

SUBCOMMANDS = (
    "status", "plan", "targets", "interrupt", "restart", "stop", "vars", "pull", "push", "put", "get", "wait", "results",
    "attach", "resolve", "env", "gpus", "usage", "log", "share", "shared", "sessions", "reconnect", "save", "restore", "forget",
    "on", "off",
)  # fmt: skip
RESOURCES = (
    "gpus", "gpu_type", "cpus", "mem", "walltime", "nodes", "partition", "account", "qos", "constraint", "reservation", "sbatch",
)  # fmt: skip


def load(shell: InteractiveShell) -> None:
    """Registers the magics, the completer and the hooks; starts nothing."""
    from . import completion

    if shell.magics_manager.registry.get(RemoteMagics.__name__) is not None:
        return
    magics = RemoteMagics(shell)
    shell.register_magics(magics)
    magics.switch.install()
    magics.tracebacks.install()
    shell.ast_transformers.append(magics.gate)
    shell.events.register("pre_run_cell", magics.bring_here)
    shell.events.register("post_run_cell", magics.after_cell)
    completion.install(shell, magics)
    magics.tell_of_left_runs()


def unload(shell: InteractiveShell) -> None:
    magics = shell.magics_manager.registry.pop(RemoteMagics.__name__, None)
    if isinstance(magics, RemoteMagics):
        magics.switch.uninstall()
        magics.tracebacks.uninstall()
        shell.ast_transformers.remove(magics.gate)
        shell.events.unregister("pre_run_cell", magics.bring_here)
        shell.events.unregister("post_run_cell", magics.after_cell)
        shell.magics_manager.magics["cell"].pop("remote", None)
        shell.magics_manager.magics["line"].pop("remote", None)


class CellHeld(FarcellError, InputRejected):
    """A cell that was not run: it reads what a detached run may still change."""


class Gate(ast.NodeTransformer):
    """Keeps IPython from running a cell: an AST transformer may reject it, and a callback may not."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def visit(self, node: ast.AST) -> ast.AST:
        """The cell as it is; raises CellHeld, once, when there is a reason."""
        reason, self.reason = self.reason, None
        if reason is not None:
            raise CellHeld(reason)
        return node


class LastCell(NamedTuple):
    """The `%%remote` cell that ran last: its target is meant where none is named."""

    target: Target
    code: str
    inputs: list[str]


def _lines_of(cell: str) -> list[str]:
    """Those of nothing but spaces empty, as IPython passes them to a magic."""
    return [line if line.strip() else "" for line in cell.split("\n")]


@magics_class
class RemoteMagics(Magics):  # type: ignore[misc]
    """Registered by `%load_ext farcell`."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)  # type: ignore[no-untyped-call]
        self.switch = Switch(shell)
        self.tracebacks = Tracebacks(shell)
        self.gate = Gate()
        self._last: LastCell | None = None

    @property
    def workspace(self) -> Workspace:
        return workspace(self.shell)

    # -- %%remote

    @magic_arguments()
    @argument("target", nargs="?", help="Where to run: a name of targets.toml; without one the default target.")
    @argument("--in", dest="inputs", action="append", default=[], metavar="NAMES", help="Send these names too (comma-separated).")
    @argument("--out", action="append", default=[], metavar="NAMES", help="Bring these back at once although they are large.")
    @argument("--keep", action="append", default=[], metavar="NAMES", help="Leave these new objects on the target, as refs.")
    @argument("--files", action="append", default=[], metavar="GLOB", help="Send these files into the target's working folder.")
    @argument("--detach", action="store_true", help="Return at once; what it changed is merged when it is over.")
    @argument("--timeout", type=float, metavar="S", help="Interrupt the cell after this many seconds of running.")
    @argument("--restartable", action="store_true", help="Run again in a new job when the scheduler has ended this one.")
    @argument("--gpus", type=int, metavar="N", help="On a scheduler's target: GPUs on each node.")
    @argument("--gpu-type", metavar="TYPE", help="Their type, as the cluster names it.")
    @argument("--cpus", type=int, metavar="N", help="Processors.")
    @argument("--mem", metavar="SIZE", help="Memory on each node: 64G.")
    @argument("--walltime", metavar="TIME", help="How long the job may last: 2h, 90m, 1:30:00.")
    @argument("--nodes", type=int, metavar="N", help="Nodes; the cell runs on the first.")
    @argument("--partition", metavar="NAME", help="As sbatch has it, like the next four.")
    @argument("--account", metavar="NAME")
    @argument("--qos", metavar="NAME")
    @argument("--constraint", metavar="FEATURES")
    @argument("--reservation", metavar="NAME")
    @argument("--sbatch", action="append", metavar="OPTION", help="A further option of sbatch: --sbatch=--exclusive.")
    @argument("--plan", action="store_true", help="Show what would be sent and why; do not run.")
    @argument("--yes", action="store_true", help="Send very large values without asking.")
    @cell_magic("remote")
    def remote_cell(self, line: str, cell: str) -> None:
        """Run this cell on a target as if it ran here.

        The code and exactly the state it needs travel there, its output streams back into this cell, and what it changed is
        merged back into the notebook.
        """
        options = self._options(line)
        if options.timeout is not None and options.timeout <= 0:
            raise UsageError(f"--timeout must be a positive number of seconds, not {options.timeout:g}.")
        target = self.workspace.targets().get(options.target)
        wanted = {key: value for key in RESOURCES if (value := getattr(options, key)) is not None}
        if wanted:
            target = self.workspace.asking(target, wanted)
        code = self._with_line_numbers(cell)
        self._check_syntax(code)
        self._last = LastCell(target, code, split_names(options.inputs))
        remote = Remote(self.workspace, target)
        if options.plan:
            self._call("plan", [])
            return
        self._keep_input_as_typed()
        if not (code_lines(code.splitlines()) or options.inputs or options.files or options.out or options.keep):
            return
        if options.restartable and options.detach:
            raise UsageError("--restartable is for a cell that is waited for, not for a detached one.")
        more = {"restartable": True} if options.restartable else {}
        (remote.detach if options.detach else remote.run)(
            code,
            **more,
            inputs=self._last.inputs,
            files=options.files,
            out=split_names(options.out),
            keep=split_names(options.keep),
            timeout_s=options.timeout,
            yes=options.yes,
        )

    @lru_cache(maxsize=64)  # noqa: B019 - as many magics as shells: one; argparse takes as long as the rest of a small cell's plan
    def _options(self, line: str) -> argparse.Namespace:
        """Of a `%%remote` line; to be read only."""
        options: argparse.Namespace = parse_argstring(self.remote_cell, line)
        return options

    def _raw_cell(self) -> str:
        """The cell that runs, as typed."""
        history = self.shell.history_manager
        return str(history.input_hist_raw[-1]) if history is not None and history.input_hist_raw else ""

    def _with_line_numbers(self, cell: str) -> str:
        """The body below comment lines in the place of the magic lines; as it is when it does not stem from the running cell."""
        raw, body = _lines_of(self._raw_cell().strip("\n")), _lines_of(cell.rstrip("\n"))
        if cell.startswith("%%"):  # must come first, and counts from itself
            return cell
        if body == [""] or raw[-len(body) :] != body:
            return cell
        return "".join(f"# {line}\n" for line in raw[: -len(body)]) + cell

    def _check_syntax(self, code: str) -> None:
        """Raises a syntax error that shows as a local cell's; nothing is started then."""
        from farcell_host.single_lines import transform

        from .capture import is_python

        shell = self.shell
        is_checked = is_python(code)  # which finding its reads begins with, too
        transformed = code if is_checked else transform(shell, code)
        name = shell.compile.cache(transformed, int(shell.displayhook.prompt_count), raw_code=code)
        if is_checked:
            return
        try:
            shell.compile.ast_parse(transformed, filename=name)
        except SyntaxError as error:
            from .errors import remote_error

            lines = shell.SyntaxTB.structured_traceback(type(error), error, [])
            raise remote_error(type(error).__name__, str(error), lines) from None

    def _keep_input_as_typed(self) -> None:
        """`In[n]` is the cell as typed, not the call that its first line was turned into."""
        history, raw = self.shell.history_manager, self._raw_cell()
        parsed = history.input_hist_parsed if history is not None else []
        if parsed and "run_cell_magic('remote'" in parsed[-1] and (REMOTE_CELL.match(raw) or self.switch.target):
            parsed[-1] = raw

    # -- %remote

    @line_magic("remote")
    def remote_line(self, line: str) -> dict[str, Any] | None:
        """Steer remote sessions: %remote SUBCOMMAND [ARGUMENTS].

        status                      sessions of this notebook
        plan                        what the last %%remote cell would send now
        targets                     targets that are defined
        interrupt [TARGET]
        restart|stop [TARGET] [--fetch|--no-fetch]   asks about values that only the target has
        vars [TARGET]               what the remote kernel holds
        pull NAMES [--target T]     bring values back, however large
        push NAMES [--target T]     send values now
        put PATH [THERE] [-t T]     copies a file or a folder there; --exclude GLOB, --overwrite, --yes
        get PATH [HERE] [-t T]      copies a file or a folder from there; --exclude GLOB, --overwrite
        wait [RUN] [--theirs|--ours]     for a detached run; after a conflict, whose values hold
        attach [RUN] [--takeover]   to a run of this notebook's kernel before the last restart
        results [RUN]               what a detached run changed, as a dict
        resolve [RUN] --remote|--local   whose values hold, when both sides have changed the same
        env diff [TARGET]           packages whose versions on the target differ from this notebook's
        env sync [TARGET [PACKAGES]] [--yes]   installs this notebook's versions there
        env ship [TARGET [PACKAGES]] [--yes]   sends what a kernel needs there, and packages, to a target without a network
        gpus [TARGET]               what its GPUs do, and whose processes are on them
        usage [--by target|notebook|day]   seconds, GPU-seconds, bytes and cost of all you have run; your share of a broker's
        log [TARGET] [--lines N]    the runs so far; with --lines the kernel's and the host's log
        log RUN --replay            all outputs of a run again
        share RUN --with USER[,USER] [--for 7d]   shows them its outputs, by the broker; --broker TARGET where there are several
        share --session [TARGET] --with USER[,USER]   they may read the variables of this session while it lasts, as data
        share --end SHARE           they see it no more
        shared [SHARE]              what you share, and others with you; of SHARE the outputs, without scripts and widgets, or
                                    the variables of a session, which --pull NAME[,NAME] reads
        reconnect [TARGET]          logs in again, asking what ssh asks, and tries a lost connection at once
        sessions [--all]            sessions of all notebooks on this machine; with --all on those that ssh reaches, and jobs
        sessions --end ID [--yes]   ends one of them
        save [TARGET]               keeps what the remote kernel holds, for when it ends without a warning
        restore [TARGET] [NAMES]    brings that back
        forget [TARGET]             removes it
        on TARGET, off              send all following cells there
        """
        words = line.split()
        if words and words[0] in ("put", "get"):  # names of files may have blanks, in quotes
            words = split_words(line)
        if not words or words[0] not in SUBCOMMANDS:
            known = ", ".join(SUBCOMMANDS)
            raise UsageError(f"%remote needs a subcommand, one of {known}" + (f"; not {words[0]!r}." if words else "."))
        return self._call(words[0], words[1:])

    def _call(self, subcommand: str, words: list[str]) -> dict[str, Any] | None:
        from .subcommands import Subcommands

        return Subcommands(self.workspace, self.switch, self._last).call(subcommand, words)

    # -- inside

    def tell_of_left_runs(self) -> None:
        """Those that an earlier kernel of this notebook has begun, and whose results nobody has taken."""
        if sys.platform != "win32" and getattr(self.shell, "kernel", None) is not None:
            for left in (*self.workspace.left_runs(), *self.workspace.of_other_versions()):
                print(f"farcell: {left}", file=sys.stderr)

    def bring_here(self, info: ExecutionInfo) -> None:
        """Called before each cell: what a local cell reads is brought here first, if it stayed on a target or went on there."""
        raw = info.raw_cell or ""
        if self.workspace.sessions:
            self.workspace.see_assignments(raw)
        self.workspace.settle_over()
        goes_away = self.switch.target is not None and not raw.lstrip().startswith("%%local")
        if goes_away or REMOTE_CELL.match(raw):
            return
        touched, refs = self.workspace.touched(), self._refs()
        detached = any(run.is_running for run in self.workspace.detached.values())
        if not refs and not touched and not detached:
            return
        from .capture import reads
        from .capture.functions import reached

        try:
            found = reads(raw, self.shell.transform_cell)
        except SyntaxError:
            return
        try:
            if detached:
                self.workspace.wait_for(found)
        except Refused as error:
            self.gate.reason = str(error)
            return
        except KeyboardInterrupt:
            self.gate.reason = "The waiting was interrupted; this cell was not run. What was waited for goes on."
            return
        try:
            if found:
                self.workspace.refresh(touched, found)
            wanted = reached(found.names | found.expanded, self.shell.user_ns)
            needed = {id(ref): ref for name, ref in refs.items() if name in wanted and ref.info.travels}
            from .refs import fetch_all

            fetch_all([*needed.values()], Notebook(self.shell.user_ns, self.shell))
        except FarcellError as error:  # the cell runs all the same, and may not need it
            print(error, file=sys.stderr)

    def after_cell(self, result: Any) -> None:
        """Called after each cell: the source of a module is kept as it was loaded, and what the cell let go of is let die."""
        sessions = self.workspace.sessions
        if sessions:
            from farcell_host.state.modules import MODULES

            MODULES.see_new()
            for session in sessions.values():
                session.let_die()

    def _refs(self) -> dict[str, Ref]:
        if not self.workspace.sessions:
            return {}
        from .refs import Ref

        return {name: value for name, value in self.shell.user_ns.items() if type(value) is Ref}
