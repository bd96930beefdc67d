"""The magics: parse a line, call the API, show the result.

`%%remote` runs its cell on a target, `%remote SUBCOMMAND` steers sessions, `%%local` keeps a cell here under `%remote on`.

Line numbers: the code is sent with the lines above it (`%%remote`, a `%%time` above that) as comment lines, so that
tracebacks show the notebook's own numbers.
"""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from IPython.core.error import InputRejected, UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from .api import Remote, Workspace, workspace
from .errors import Conflict, FarcellError, Refused
from .relay.card import duration
from .relay.notebook import Notebook
from .tables import Table
from .tracebacks import Tracebacks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

    from .backends.shipment import Shipment
    from .copying import Copied
    from .environment import Comparison
    from .exchange import PlanRow
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
_STAYS = re.compile(r"%(?:remote|load_ext|reload_ext|unload_ext)\b")
_REMOTE_CELL = re.compile(r"(?:\s*%%[^\n]*\n)*?\s*%%remote\b")
_LOCAL_CELL = re.compile(r"%%local[ \t]*\r?\n?$")


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


class Switch:
    """`%remote on TARGET`: an input transformer that puts `%%remote TARGET` on top of each cell the person runs.

    Cells of the front end's own (silent or without history) and what a running cell transforms itself are left alone, as are
    cells with a `%remote` or `%load_ext` line, and cells that say `%%local` or `%%remote`.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.target: str | None = None
        self._shell = shell
        self._running = False

    def install(self) -> None:
        self._shell.input_transformers_cleanup.append(self.transform)
        self._shell.events.register("pre_execute", self._began)
        self._shell.events.register("post_execute", self._ended)

    def uninstall(self) -> None:
        self._shell.input_transformers_cleanup.remove(self.transform)
        self._shell.events.unregister("pre_execute", self._began)
        self._shell.events.unregister("post_execute", self._ended)

    def _began(self) -> None:
        self._running = True

    def _ended(self) -> None:
        self._running = False

    def transform(self, lines: list[str]) -> list[str]:
        if not lines:
            return lines
        if _LOCAL_CELL.match(lines[0]):
            # a cell magic below it must come first, and a single line may be a macro's name; else it stays for the line numbers
            is_alone = len(lines) == 2 or (len(lines) > 1 and lines[1].startswith("%%"))
            return lines[1:] if is_alone else ["# " + lines[0], *lines[1:]]
        if len(lines) == 1 and _REMOTE_CELL.match(lines[0]):
            return [lines[0].rstrip("\n") + "\n", "\n"]  # IPython refuses a cell magic without any line below it
        if self.target is None or self._running or not self._is_cell(lines):
            return lines
        return [f"%%remote {self.target}\n", *lines]

    def _is_cell(self, lines: Sequence[str]) -> bool:
        text = "".join(lines)
        code = _code_lines(lines)
        if not code or any(_STAYS.match(line) for line in code) or _REMOTE_CELL.match(text):
            return False
        kernel = getattr(self._shell, "kernel", None)
        content = (kernel.get_parent("shell") or {}).get("content", {}) if kernel is not None else {}
        return not content.get("silent", False) and content.get("store_history", True) is not False


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


def _lines_of(cell: str) -> list[str]:
    """Those of nothing but spaces empty, as IPython passes them to a magic."""
    return [line if line.strip() else "" for line in cell.split("\n")]


def _code_lines(lines: Sequence[str]) -> list[str]:
    """Without blank lines and comments."""
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


@magics_class
class RemoteMagics(Magics):  # type: ignore[misc]
    """Registered by `%load_ext farcell`."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)  # type: ignore[no-untyped-call]
        self.switch = Switch(shell)
        self.tracebacks = Tracebacks(shell)
        self.gate = Gate()
        self._last: tuple[Target, str, argparse.Namespace] | None = None

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
        self._last = (target, code, options)
        remote = Remote(self.workspace, target)
        if options.plan:
            self._show(plan_table(target.name, remote.plan(code, inputs=split_names(options.inputs))))
            return
        self._keep_input_as_typed()
        if not (_code_lines(code.splitlines()) or options.inputs or options.files or options.out or options.keep):
            return
        if options.restartable and options.detach:
            raise UsageError("--restartable is for a cell that is waited for, not for a detached one.")
        more = {"restartable": True} if options.restartable else {}
        (remote.detach if options.detach else remote.run)(
            code,
            **more,
            inputs=split_names(options.inputs),
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
        if parsed and "run_cell_magic('remote'" in parsed[-1] and (_REMOTE_CELL.match(raw) or self.switch.target):
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
            words = _words(line)
        if not words or words[0] not in SUBCOMMANDS:
            known = ", ".join(SUBCOMMANDS)
            raise UsageError(f"%remote needs a subcommand, one of {known}" + (f"; not {words[0]!r}." if words else "."))
        found: dict[str, Any] | None = getattr(self, f"_do_{words[0]}")(words[1:])
        return found

    def _do_status(self, words: list[str]) -> None:
        self._none("status", words)
        rows = []
        for name, session in self.workspace.sessions.items():
            s = session.status()
            rows.append([name, s.state, s.pid, s.kernel_pid, s.runs, s.queued, _bytes(s.sent), _bytes(s.received), s.runtime])
        columns = ["target", "state", "host pid", "kernel pid", "runs", "waiting", "sent", "received", "runtime folder"]
        self._show(Table("Remote sessions", columns, rows, "none yet; the first %%remote cell starts one"))
        detached = self.workspace.detached.values()
        if detached:
            rows = [[r.id, r.target, r.cell, r.state, duration(r.seconds), _first_line(r.code)] for r in detached]
            self._show(Table("Detached runs", ["run", "target", "cell", "state", "time", "code"], rows, ""))

    def _do_plan(self, words: list[str]) -> None:
        self._none("plan", words)
        if self._last is None:
            raise UsageError("There is no %%remote cell yet whose plan could be shown.")
        target, code, options = self._last
        rows = Remote(self.workspace, target).plan(code, inputs=split_names(options.inputs))
        self._show(plan_table(target.name, rows))

    def _do_targets(self, words: list[str]) -> None:
        self._none("targets", words)
        targets = self.workspace.targets()
        default = targets.get(None).name
        known = [targets.get(name) for name in targets.names]
        rows = [[t.name, t.backend, t.name == default, t.python or "this notebook's"] for t in known]
        self._show(Table("Targets", ["target", "backend", "default", "python"], rows))

    def _do_interrupt(self, words: list[str]) -> None:
        self._one_remote("interrupt", words).interrupt()

    def _do_restart(self, words: list[str]) -> None:
        remote = self._ending("restart", words)
        remote.restart()
        self._do_status([])

    def _do_stop(self, words: list[str]) -> None:
        remote = self._ending("stop", words)
        remote.stop()
        self._do_status([])

    def _ending(self, command: str, words: list[str]) -> Remote:
        """What only the session holds is fetched first, if the person wants it."""
        options = _parse(command, words, target=True, fetch=True)
        remote = self._remote(options.target)
        refs = self.workspace.refs_of(remote.session) if remote.session.is_started and not remote.session.is_running else {}
        if not refs:
            return remote
        what = ", ".join(f"{name} ({_bytes(ref.info.size_bytes)})" for name, ref in refs.items())
        fetch = options.fetch
        if fetch is None:
            fetch = remote.session.notebook.confirm(f"Only {remote.target!r} has {what}. Fetch before it ends?")
        if fetch is None:
            print(f"farcell: lost with the session on {remote.target!r}: {what}. Next time --fetch keeps them.", file=sys.stderr)
        if fetch:
            _fetch(list(refs.values()), remote.session.notebook)
        return remote

    def _do_reconnect(self, words: list[str]) -> None:
        self._one_remote("reconnect", words).session.reconnect()
        self._do_status([])

    def _do_save(self, words: list[str]) -> None:
        self._one_remote("save", words).session.save()

    def _do_restore(self, words: list[str]) -> None:
        targets = self.workspace.targets()
        is_named = bool(words) and words[0] in targets.known
        remote = Remote(self.workspace, targets.get(words[0] if is_named else None))
        remote.session.restore(split_names(words[1:] if is_named else words))

    def _do_forget(self, words: list[str]) -> None:
        remote = self._one_remote("forget", words)
        print(f"Removed {remote.session.forget_snapshots()} snapshots of this notebook on {remote.target!r}.")

    def _do_vars(self, words: list[str]) -> None:
        remote = self._one_remote("vars", words)
        rows = [[v["name"], v["type"], _shape(v.get("shape")), _bytes(v.get("bytes")), v["repr"]] for v in remote.vars()]
        self._show(Table(f"Variables on {remote.target!r}", ["name", "type", "shape", "size", "value"], rows))

    def _do_pull(self, words: list[str]) -> None:
        remote, names = self._names_and_remote("pull", words)
        self._show_moved(f"Pulled from {remote.target!r}", remote.pull(*names))

    def _do_push(self, words: list[str]) -> None:
        remote, names = self._names_and_remote("push", words)
        self._show_moved(f"Pushed to {remote.target!r}", remote.push(*names))

    def _do_put(self, words: list[str]) -> None:
        options = _parse_copy("put", words)
        remote = self._remote(options.target)
        copied = remote.put(options.path, options.place, exclude=options.exclude, overwrite=options.overwrite, yes=options.yes)
        print(copied_text(copied, f"to {copied.root} on {remote.target!r}", "Sent"))

    def _do_get(self, words: list[str]) -> None:
        options = _parse_copy("get", words)
        remote = self._remote(options.target)
        copied = remote.get(options.path, options.place, exclude=options.exclude, overwrite=options.overwrite)
        print(copied_text(copied, f"from {remote.target!r} to {copied.root}", "Fetched"))

    def _do_wait(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote wait", add_help=False)
        parser.add_argument("run", nargs="?")
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument("--theirs", action="store_true")
        whose.add_argument("--ours", action="store_true")
        options = parser.parse_args(words)
        run = self.workspace.detached_run(options.run)
        self.workspace.wait(run, f"waiting for run {run.id} on {run.target!r}")
        if run.conflict is not None:
            if not (options.theirs or options.ours):
                raise Conflict(str(run.conflict), run.id, run.conflict.names)
            self.workspace.resolve(run.id, take=options.theirs)
            run.resolved(options.theirs)
        if run.error is not None:
            raise run.error

    def _do_results(self, words: list[str]) -> dict[str, Any]:
        parser = _Parser(prog="%remote results", add_help=False)
        parser.add_argument("run", nargs="?")
        run = self.workspace.detached_run(parser.parse_args(words).run)
        self.workspace.settle_over()
        if run.is_running:
            raise UsageError(f"Run {run.id} on {run.target!r} goes on. %remote wait {run.id} waits for it.")
        return self.workspace.results(run)

    def _do_attach(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote attach", add_help=False)
        parser.add_argument("run", nargs="?")
        parser.add_argument("--takeover", action="store_true")
        options = parser.parse_args(words)
        self.workspace.attach(options.run, options.takeover)

    def _do_resolve(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote resolve", add_help=False)
        parser.add_argument("run", nargs="?")
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--remote", action="store_true")
        whose.add_argument("--local", action="store_true")
        options = parser.parse_args(words)
        conflict = self.workspace.resolve(options.run, take=options.remote)
        side = f"{conflict.target!r}'s" if options.remote else "this notebook's"
        print(f"{', '.join(conflict.names) or 'The object'}: {side} values hold.")

    def _do_env(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote env", add_help=False)
        parser.add_argument("action", choices=["diff", "sync", "ship"])
        parser.add_argument("target", nargs="?")
        parser.add_argument("packages", nargs="*")
        parser.add_argument("--yes", action="store_true")
        options = parser.parse_intermixed_args(words)
        remote = self._remote(options.target)
        if options.action == "diff":
            if options.packages or options.yes:
                raise UsageError("%remote env diff takes one target.")
            found = remote.env_diff()
        elif options.action == "ship":
            shipped = remote.env_ship(*options.packages, yes=options.yes)
            print(shipped_text(remote.target, shipped))
            return
        else:
            found = remote.env_sync(*options.packages, yes=options.yes)
        self._show(packages_table(remote.target, found))

    def _do_gpus(self, words: list[str]) -> None:
        from .gpus import gpus_table

        remote = self._one_remote("gpus", words)
        self._show(gpus_table(remote.target, remote.gpus()))

    def _do_usage(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote usage", add_help=False)
        parser.add_argument("--by", choices=["target", "notebook", "day"], default="target")
        by = parser.parse_args(words).by
        currency = self.workspace.targets().currency
        from .totals import is_kept, usage, usage_table

        standings = self._standings()
        for table in standings:
            self._show(table)
        if standings and not is_kept():
            return  # the broker keeps its own record
        self._show(usage_table(by, usage(by), currency))

    def _standings(self) -> list[Table]:
        """What the brokers say that this person's targets belong to."""
        targets = self.workspace.targets()
        if not any(targets.get(name).backend == "broker" for name in targets.names):
            return []
        from .backends.broker.standing import standings

        return standings(targets)

    def _do_log(self, words: list[str]) -> None:
        if "--replay" in words:
            rest = [word for word in words if word != "--replay"]
            if len(rest) != 1:
                raise UsageError("%remote log RUN --replay takes one run, as %remote log lists them.")
            self.workspace.replay(rest[0])
            return
        options = _parse("log", words, target=True, lines=True)
        if options.lines is not None:
            print(self._remote(options.target).log(options.lines))
            return
        runs = [run for run in self.workspace.runs if options.target in (None, run.summary.target)]
        measured = any(run.summary.usage.get("gpus") for run in runs)
        priced = any(run.summary.cost is not None for run in runs)
        rows = [
            [
                run.cell,
                run.summary.run[:8],
                run.summary.target,
                ", ".join(row.name for row in run.summary.sent if not row.there) or "-",
                ", ".join(run.summary.back) or "-",
                _bytes(run.summary.sent_bytes),
                _bytes(run.summary.received_bytes),
                f"{run.summary.seconds:.2f}",
                run.summary.ended,
                *(_of_gpus(run.summary.usage.get("gpus") or {}) if measured else ()),
                *(["-" if run.summary.cost is None else f"{run.summary.cost:.4f}"] if priced else ()),
                run.code,
            ]
            for run in runs
        ]
        also = ["GPU memory", "GPU use"] if measured else []
        also += [f"cost {self.workspace.targets().currency}".rstrip()] if priced else []
        columns = ["cell", "run", "target", "sent", "back", "bytes sent", "bytes back", "seconds", "ended", *also, "code"]
        self._show(Table("Remote runs", columns, rows, "none yet"))

    def _do_share(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote share", add_help=False)
        parser.add_argument("run", nargs="?")
        parser.add_argument("--session", action="store_true")
        parser.add_argument("--with", dest="readers", action="append", default=[], metavar="USER")
        parser.add_argument("--for", dest="lasts", metavar="TIME")
        parser.add_argument("--broker", metavar="TARGET")
        parser.add_argument("--end", metavar="SHARE")
        options = parser.parse_intermixed_args(words)
        from .backends.broker import sharing

        targets = self.workspace.targets()
        if options.end is not None:
            if options.run is not None or options.readers or options.session:
                raise UsageError("%remote share --end SHARE takes no run and no users.")
            print(sharing.end(sharing.broker_of(targets, options.broker), options.end))
            return
        readers = [name for value in options.readers for name in value.split(",") if name]
        if options.session and readers:
            remote = self._remote(options.run)
            broker = sharing.broker_of(targets, remote.target)
            print(sharing.share_session(broker, remote.lease(), readers, options.lasts))
            return
        if options.run is None or not readers:
            raise UsageError("%remote share takes a run, as %remote log lists them, or --session [TARGET]; and --with USER.")
        broker = sharing.broker_of(targets, options.broker)
        run, target, outputs = self.workspace.outputs_of(options.run)
        print(sharing.share(broker, run, target, outputs, readers, options.lasts))

    def _do_shared(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote shared", add_help=False)
        parser.add_argument("share", nargs="?")
        parser.add_argument("--pull", action="append", default=[], metavar="NAME")
        parser.add_argument("--broker", metavar="TARGET")
        options = parser.parse_args(words)
        from .backends.broker import sharing

        broker = sharing.broker_of(self.workspace.targets(), options.broker)
        if options.share is None:
            if options.pull:
                raise UsageError("%remote shared SHARE --pull NAME: of which share?")
            self._show(sharing.listed(broker))
            return
        names = [name for value in options.pull for name in value.split(",") if name]
        if names:
            self.workspace.namespace.update(sharing.pull(broker, options.share, names))
            print(f"Read as data from share {options.share}: {', '.join(names)}.")
        elif (held := sharing.show(broker, options.share)) is not None:
            self._show(held)

    def _do_sessions(self, words: list[str]) -> None:
        parser = _Parser(prog="%remote sessions", add_help=False)
        parser.add_argument("--all", action="store_true")
        parser.add_argument("--end", metavar="ID")
        parser.add_argument("--yes", action="store_true")
        options = parser.parse_args(words)
        from . import everywhere

        for each in self.workspace.sessions.values():
            each.acknowledge()
        if options.end is None:
            found = everywhere.look(self.workspace.targets(), options.all)
            self._show(everywhere.table(found))
            for fault in found.faults:
                print(f"farcell: {fault}", file=sys.stderr)
            return
        found = everywhere.look_to_end(self.workspace.targets(), options.all)
        hint = "" if options.all else ", and --all for those on other machines"
        chosen = everywhere.choose(found, options.end, options.yes, hint)
        mine = next((each for each in self.workspace.sessions.values() if each.status().runtime == chosen.runtime), None)
        if mine is not None:
            mine.stop()
        else:
            everywhere.end(chosen)
        print(f"Session {chosen.id} on {chosen.target!r} has ended.")

    def _do_on(self, words: list[str]) -> None:
        if len(words) > 1:
            raise UsageError("%remote on takes one target.")
        target = self.workspace.targets().get(words[0] if words else None)
        self.switch.target = target.name
        print(f"All following cells run on {target.name!r}, until %remote off. A cell with %%local on top stays here.")

    def _do_off(self, words: list[str]) -> None:
        self._none("off", words)
        self.switch.target = None
        print("Cells run in this notebook's own kernel again.")

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
        if goes_away or _REMOTE_CELL.match(raw):
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
            _fetch([*needed.values()], Notebook(self.shell.user_ns, self.shell))
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

    def _remote(self, name: str | None) -> Remote:
        """A target by name; without one the last cell's, or the default."""
        if name is None and self._last is not None:
            return Remote(self.workspace, self._last[0])
        return Remote(self.workspace, self.workspace.targets().get(name))

    def _one_remote(self, command: str, words: list[str]) -> Remote:
        return self._remote(_parse(command, words, target=True).target)

    def _names_and_remote(self, command: str, words: list[str]) -> tuple[Remote, list[str]]:
        options = _parse(command, words, names=True)
        return self._remote(options.target), split_names(options.names)

    def _none(self, command: str, words: list[str]) -> None:
        if words:
            raise UsageError(f"%remote {command} takes no arguments.")

    def _show(self, table: Table) -> None:
        from IPython.display import display

        display(table)  # type: ignore[no-untyped-call]

    def _show_moved(self, title: str, moved: Sequence[Any]) -> None:
        self._show(Table(title, ["name", "type", "bytes"], [[m.name, m.type, _bytes(m.bytes)] for m in moved]))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{self.prog}: {message}")


def _parse(
    command: str, words: list[str], *, target: bool = False, names: bool = False, lines: bool = False, fetch: bool = False
) -> argparse.Namespace:
    parser = _Parser(prog=f"%remote {command}", add_help=False)
    if target:
        parser.add_argument("target", nargs="?")
    if names:
        parser.add_argument("names", nargs="+")
        parser.add_argument("--target")
    if lines:
        parser.add_argument("--lines", type=int)
    if fetch:
        parser.add_argument("--fetch", action=argparse.BooleanOptionalAction)
    return parser.parse_args(words)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%remote {line}: {error}.") from None


def _parse_copy(command: str, words: list[str]) -> argparse.Namespace:
    parser = _Parser(prog=f"%remote {command}", add_help=False)
    parser.add_argument("path")
    parser.add_argument("place", nargs="?")
    parser.add_argument("-t", "--target")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB")
    parser.add_argument("--overwrite", action="store_true")
    if command == "put":
        parser.add_argument("--yes", action="store_true")
    return parser.parse_intermixed_args(words)


def split_names(values: Sequence[str]) -> list[str]:
    """`["a,b", "c"]` -> names; UsageError for what cannot be one."""
    names = [name for value in values for name in re.split(r"[,\s]+", value) if name]
    for name in names:
        if not name.isidentifier():
            raise UsageError(f"{name!r} is not a variable name. Give names separated by commas, without spaces.")
    return names


def packages_table(target: str, found: Comparison) -> Table:
    rows = [[each.name, each.here, each.there or "not installed"] for each in found.differences]
    title = f"Packages on {target!r} (Python {found.python} in {found.prefix})"
    empty = "this notebook's own" if found.is_own else f"no difference in {found.compared}"
    return Table(title, ["package", "here", "there"], rows, empty)


def shipped_text(target: str, found: Shipment) -> str:
    sent = (
        f"{found.sent} of {found.wheels} wheels ({_bytes(found.sent_bytes)})"
        if found.wheels
        else "nothing, as nothing is lacking"
    )
    return f"Sent to {target!r}: {sent}. Its kernels run with {found.python}."


def copied_text(copied: Copied, way: str, verb: str) -> str:
    if not copied.sent:
        text = f"Nothing to copy {way}: {copied.files} file{'s' * (copied.files != 1)}, the same there."
    elif len(copied.sent) == copied.files:
        text = f"{verb} {len(copied.sent)} file{'s' * (copied.files != 1)} ({_bytes(copied.bytes)}) {way}."
    else:
        text = f"{verb} {len(copied.sent)} of {copied.files} files ({_bytes(copied.bytes)}) {way}; the others are the same there."
    if copied.travelled < copied.bytes:
        text += f" Of that {_bytes(copied.travelled)} travelled."
    if copied.skipped:
        text += f" Left out, being neither files nor folders: {', '.join(copied.skipped[:5])}."
    return text


def plan_table(target: str, rows: Sequence[PlanRow]) -> Table:
    total = sum(row.send for row in rows)
    title = f"Plan for {target!r}: {_bytes(total)} to send"
    cells = [[r.name, r.why, r.type, _bytes(r.size), "yes" if r.there else "no", _bytes(r.send)] for r in rows]
    columns = ["name", "needed because", "type", "size", "there already", "to send"]
    return Table(title, columns, cells, "the cell reads no variables")


def _fetch(refs: Sequence[Ref], notebook: Notebook) -> None:
    """Fetches each; when that takes longer than a second, a bar says so."""
    if not refs:
        return
    from .relay.line import Line, transfer

    total, done = sum(ref.info.size_bytes for ref in refs), 0
    with Line(notebook, transfer("fetching", lambda: (done, total))):
        for ref in refs:
            ref.fetch()
            done += ref.info.size_bytes


def _bytes(size: int | None) -> str:
    if size is None:
        return "-"
    from .refs import human_bytes

    return human_bytes(size)


def _of_gpus(peaks: Mapping[str, Any]) -> tuple[str, str]:
    """The most memory at one time, and the mean and the highest utilisation."""
    mean, highest = peaks.get("utilisation_mean_percent"), peaks.get("utilisation_peak_percent")
    return _bytes(peaks.get("memory_bytes")), "-" if mean is None else f"{mean:.0f} % (up to {highest} %)"


def _first_line(code: str) -> str:
    lines = (line.strip() for line in code.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def _shape(shape: Any) -> str:
    return "-" if not shape else "x".join(map(str, shape)) if isinstance(shape, (list, tuple)) else str(shape)
