"""The Python API, in the magics' own words: `connect(target)` gives a `Remote`, which runs code, pushes and pulls.

A notebook (or a plain Python program) has one session a target, made at first use and kept until it is stopped. All calls
block and may come from any thread.
"""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from .between import BetweenCells

if TYPE_CHECKING:
    from farcell_host.state.magics import Magics
    from IPython.core.interactiveshell import InteractiveShell

    from .backends.shipment import Shipment
    from .budgets import Budgets
    from .capture.reads import Reads
    from .conflicts import Conflict
    from .copying import Copied
    from .detached import DetachedRun
    from .earlier import LeftRun
    from .environment import Comparison
    from .exchange import PlanRow
    from .refs import Ref
    from .relay.comms import NotebookComms
    from .session import RemoteSession
    from .summaries import Moved, RunSummary, SessionStatus
    from .targets import Target, Targets

T = TypeVar("T")

RUNS_KEPT = 1000
WAIT_CHECK_S = 0.5
UNSUPPORTED = (
    "farcell does not run on Windows itself: it needs Unix sockets and signals. Start Jupyter inside WSL "
    "(Windows Subsystem for Linux) and install farcell there."
)


@dataclass(frozen=True)
class LoggedRun:
    """A run as `%remote log` lists it; `cell` is its execution count, `code` its first line of code."""

    cell: int
    code: str
    summary: RunSummary


class Workspace:
    """What one notebook has remotely: its sessions by target name, and its runs so far."""

    def __init__(self, namespace: dict[str, Any], shell: InteractiveShell | None) -> None:
        self.namespace = namespace
        self.shell = shell
        self.runs: list[LoggedRun] = []
        self._sessions: dict[str, RemoteSession] = {}
        self._definitions: dict[str, Target] = {}
        self._lock = threading.Lock()
        self._magics: Magics | None = None
        self._comms: NotebookComms | None = None
        self._has_seen_history = False
        self.detached: dict[str, DetachedRun] = {}
        """Runs that nobody waits or waited for, by the beginning of their ids."""
        self.between = BetweenCells(shell, self.settle_over)
        self._budgets: Budgets | None = None
        self._targets: Targets | None = None

    def targets(self) -> Targets:
        """As the files have them now: an edit counts from the next cell on. Every use of farcell begins here."""
        if sys.platform == "win32":  # before anything is imported that needs Unix
            from .errors import TargetUnavailable

            raise TargetUnavailable(UNSUPPORTED)
        from . import targets

        self._targets = targets.load()
        return self._targets

    def check_budget(self, target: Target) -> None:
        """Before a run: raises Refused when the target's budget is used up."""
        known = self._targets or self.targets()
        if target.budget is None and known.budget is None:
            return
        if self._budgets is None:
            from .budgets import Budgets

            self._budgets = Budgets()
        self._budgets.check(target, known, self.session(target).notebook.say)

    @property
    def sessions(self) -> dict[str, RemoteSession]:
        with self._lock:
            return dict(self._sessions)

    def session(self, target: Target) -> RemoteSession:
        """The session on this target, made now if there is none; a changed definition counts when the session has ended."""
        with self._lock:
            session, definition = self._sessions.get(target.name), self._definitions.get(target.name)
            if session is None or (definition != target and not session.is_started):
                if session is not None and session.is_queued:
                    session.stop()  # what it waits for is not what is asked for now
                session = self._sessions[target.name] = self._new_session(target)
                self._definitions[target.name] = target
            return session

    def asking(self, target: Target, wanted: Mapping[str, Any]) -> Target:
        """The target with these resources in the place of its own; UsageError when its session has others."""
        from .errors import UsageError
        from .targets import WITHOUT_SCHEDULER

        if target.backend in WITHOUT_SCHEDULER:
            what = ", ".join(wanted)
            raise UsageError(f"{target.name!r} has no scheduler that could be asked for {what}; its backend is {target.backend}.")
        changed = target.asking(wanted)
        session, definition = self.sessions.get(target.name), self._definitions.get(target.name)
        if session is not None and session.is_started and definition is not None:
            different = [key for key in wanted if getattr(changed, key) != getattr(definition, key)]
            if different:
                raise UsageError(
                    f"The session on {target.name!r} has {definition.resources}; this cell asks for {changed.resources}. "
                    f"%remote stop {target.name} ends it, and the next cell starts one as it asks."
                )
            return definition
        return changed

    def _new_session(self, target: Target) -> RemoteSession:
        from .relay.comms import NotebookComms
        from .relay.notebook import Notebook
        from .session import RemoteSession

        notebook = Notebook(self.namespace, self.shell)
        if self._comms is None:
            self._comms = NotebookComms(notebook)
        options = target.launch_options(notebook.name)
        return RemoteSession(options, self.namespace, self.shell, confirm_bytes=target.confirm_bytes, comms=self._comms)

    def settle_over(self) -> None:
        """Merges what detached runs that are over have changed; on the main thread, outside of the notebook's own code."""
        for session in self.sessions.values():
            session.settle_over()

    def wait_for(self, found: Reads, target: str | None = None) -> None:
        """Until no detached run on another target than this one may change what code reads.

        Ctrl-C ends the waiting, not the run. Raises Refused where the run's target says so (`detached_reads`).
        """
        if not self.detached:
            return
        self.settle_over()
        going = [run for run in self.detached.values() if run.is_running and run.target != target]
        if not going:
            return
        from .capture.functions import reached
        from .errors import Refused

        names = found.names | found.expanded | (found.mentions if found.everything else frozenset())
        read = {*reached(names, self.namespace), *(name for name in names if name not in self.namespace)}
        for run in going:
            affected = run.may_write(read, self.namespace, self.shell)
            if not affected or run.reads == "stale":
                continue
            what = ", ".join(affected[:3]) + (" and more" if len(affected) > 3 else "")
            if run.reads == "error":
                raise Refused(
                    f"Run {run.id} on {run.target!r} goes on and may change {what}, which this cell reads; it was not run. "
                    f"%remote wait {run.id} waits for it."
                )
            self.wait(run, f"waiting for run {run.id} on {run.target!r}, which may change {what}")

    def wait(self, run: DetachedRun, why: str) -> None:
        """Until a detached run is over and has been merged; on the main thread."""
        from .relay.line import Line, waiting
        from .relay.notebook import Notebook

        with Line(Notebook(self.namespace, self.shell), waiting(why)):
            while not run.over.wait(WAIT_CHECK_S):  # in between, Ctrl-C is heard
                pass
        self.settle_over()

    def detached_run(self, id: str | None) -> DetachedRun:
        """By the beginning of its id; without one the latest. UsageError says which there are."""
        found = [run for run in self.detached.values() if id is None or run.id.startswith(id[: len(run.id)])]
        if not found or (id is not None and len(found) > 1):
            from .errors import UsageError

            known = ", ".join(f"{run.id} ({run.target}, {run.state})" for run in self.detached.values()) or "none yet"
            raise UsageError(f"There is no such detached run. There are: {known}.")
        return found[-1]

    def of_other_versions(self) -> list[str]:
        """What to say of sessions of this notebook, on this machine, that this farcell cannot talk to."""
        from farcell_host import runtime

        from .relay.notebook import Notebook

        name = Notebook(self.namespace, self.shell).name
        hosts = [host for host in runtime.live_hosts() if host.fields.get("notebook") == name]
        if not hosts:
            return []
        from farcell_host.commands import ask_status

        from .earlier import other_version, others_among

        return [other_version(each) for each in others_among(map(ask_status, hosts), name)]

    def left_runs(self) -> list[LeftRun]:
        """Runs of this notebook's earlier kernel, whose results nobody has taken."""
        from farcell_host import runtime

        from .relay.notebook import Notebook

        name = Notebook(self.namespace, self.shell).name
        if not any(host.fields.get("notebook") == name for host in runtime.live_hosts()):
            return []
        from .earlier import left_runs

        return left_runs(name)

    def _left_elsewhere(self) -> list[LeftRun]:
        """On the machines that targets lead to; those that cannot be asked are said."""
        from . import everywhere
        from .earlier import left_among
        from .relay.notebook import Notebook

        notebook = Notebook(self.namespace, self.shell)
        found = everywhere.look(self.targets(), True)
        for fault in found.faults:
            notebook.say(fault)
        return left_among((each.status for each in found.sessions if not each.options.backend.startswith("local")), notebook.name)

    def attach(self, id: str | None, takeover: bool = False) -> None:
        """Shows all output of such a run here, waits for its end, and takes what it has changed; raises what it raised.

        One that another kernel is connected to is taken from that only with `takeover`.
        """
        from .errors import UsageError

        left = self.left_runs()
        if not any(id is None or run.id.startswith(id) for run in left):
            left += self._left_elsewhere()
        found = [run for run in left if id is None or run.id.startswith(id)]
        if len(found) != 1:
            known = ", ".join(f"{run.id[:8]} ({run.target}, {'over' if run.is_over else 'running'})" for run in left) or "none"
            others = "".join(f"\n{each}" for each in self.of_other_versions())
            raise UsageError(
                f"Say which run by the beginning of its id. Left by an earlier kernel of this notebook: {known}.{others}"
            )
        run = found[0]
        if run.is_driven and not takeover:
            raise UsageError(
                f"Run {run.id[:8]} on {run.target!r} belongs to another kernel of this notebook, which is connected to it or was "
                f"until just now. %remote attach {run.id[:8]} --takeover takes it from there."
            )
        self.session(self.targets().get(run.target)).attach(run)

    def replay(self, id: str) -> None:
        """Shows the outputs of a run of this notebook again."""
        from .errors import UsageError

        known = {each.summary.run: each.summary.target for each in self.runs}
        known.update({run.pending_id: run.target for run in self.detached.values()})
        found = [run for run in known if run.startswith(id)]
        if len(found) != 1:
            raise UsageError(f"There is no run {id!r} of this kernel. %remote log lists them.")
        self.sessions[known[found[0]]].replay(found[0])

    def outputs_of(self, id: str) -> tuple[str, str, list[dict[str, Any]]]:
        """The whole id of a run that begins so, its target and its outputs, also if it failed; UsageError if there is none."""
        from .errors import UsageError

        for session in self.sessions.values():
            if session.is_started and (found := session.outputs(id)) is not None:
                return found[0], session.target, found[1]
        raise UsageError(f"No session of this notebook has a run {id!r}. %remote log lists them; outputs end with their session.")

    def results(self, run: DetachedRun) -> dict[str, Any]:
        """What a run has changed: the values here where they were merged, else copies of the target's."""
        names = run.conflict.names if run.conflict is not None else run.returned.names
        if run.conflict is None:
            return {name: self.namespace[name] for name in names if name in self.namespace}
        return self.sessions[run.target].copies(names)

    def see_assignments(self, cell: str) -> None:
        """Called with each cell, as typed, before it runs: what it assigns to on modules of libraries is looked at from now on.

        The first time, before there is a session, all cells are looked at that have run so far.
        """
        from farcell_host.state.patches import PATCHES

        from .capture.patches import assigned

        transform = self.shell.transform_cell if self.shell is not None else None
        if not self._has_seen_history:
            self._has_seen_history = True
            history = getattr(getattr(self.shell, "history_manager", None), "input_hist_raw", [])
            for earlier in history[:-1]:
                PATCHES.watch(assigned(earlier, self.namespace, transform), was_run=True)
        PATCHES.watch(assigned(cell, self.namespace, transform))

    def touched(self) -> list[RemoteSession]:
        """Sessions whose own threads or tasks go on."""
        return [session for session in self.sessions.values() if session.is_touched]

    def refresh(self, sessions: Iterable[RemoteSession], found: Reads) -> None:
        """What went on there comes here before code that reads it runs elsewhere; raises Conflict."""
        for session in sessions:
            session.refresh(name for name in found.names if name not in self.namespace)

    def elsewhere(self, name: str, session: RemoteSession) -> Ref | None:
        """The ref that a name is bound to, when another target than the session's holds its value; LostValue when none does."""
        from .refs import Ref

        ref = self.namespace.get(name)
        if type(ref) is not Ref or ref._is_of(session):
            return None
        ref._alive()
        return ref if ref.info.travels else None

    def refs_of(self, session: RemoteSession) -> dict[str, Ref]:
        """Names and results (`Out[n]`) whose values only this session's kernel holds, and which could be fetched."""
        from .refs import Ref

        found = {name: value for name, value in self.namespace.items() if name[0] != "_" and type(value) is Ref}
        named = set(map(id, found.values()))
        for count, value in (self.namespace.get("_oh") or {}).items():
            if type(value) is Ref and id(value) not in named:
                found[f"Out[{count}]"] = value
        return {name: ref for name, ref in found.items() if ref._is_of(session) and ref.info.travels}

    @property
    def magics(self) -> Magics:
        """Those that a fresh kernel does not have."""
        if self._magics is None:
            from farcell_host.state.magics import Magics

            self._magics = Magics(lambda: self.shell)
        return self._magics

    def resolve(self, run: str | None, take: bool) -> Conflict:
        """Settles a conflict, named by the beginning of its run's id, or the only one there is: with `take` the target's values
        are merged into this notebook, else they are let go of. UsageError says which there are."""
        found = [(session, each) for session in self.sessions.values() for each in session.conflicts.values()]
        fitting = [pair for pair in found if run is None or pair[1].run.startswith(run[: len(pair[1].run)])]
        if len(fitting) != 1:
            from .errors import UsageError

            known = ", ".join(f"{each.run} ({', '.join(each.names)})" for _, each in found) or "none"
            raise UsageError(f"Say which conflict by its run. There are: {known}.")
        session, conflict = fitting[0]
        session.resolve(conflict, take)
        return conflict

    def remember(self, code: str, summary: RunSummary, cell: int | None = None) -> None:
        here = int(self.shell.execution_count) if self.shell is not None else len(self.runs) + 1
        count = here if cell is None else cell
        lines = (line.strip() for line in code.splitlines())
        first = next((line for line in lines if line and not line.startswith("#")), "")
        self.runs.append(LoggedRun(count, first, summary))
        del self.runs[:-RUNS_KEPT]


_workspaces: dict[int, Workspace] = {}
_lock = threading.Lock()


def workspace(shell: InteractiveShell | None = None) -> Workspace:
    """The present notebook's, or the program's when there is no IPython."""
    if shell is None and "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
    namespace = shell.user_ns if shell is not None else sys.modules["__main__"].__dict__
    with _lock:
        found = _workspaces.get(id(namespace))
        if found is None:
            found = _workspaces[id(namespace)] = Workspace(namespace, shell)
        return found


def connect(target: str | None = None) -> Remote:
    """A target by name, the default one without a name. Starts nothing; raises UsageError for a name nobody has defined."""
    here = workspace()
    return Remote(here, here.targets().get(target))


class Remote:
    """One target as this notebook sees it; `namespace` names are the notebook's globals, never a caller's locals."""

    def __init__(self, workspace: Workspace, target: Target) -> None:
        self._workspace = workspace
        self._target = target

    @property
    def target(self) -> str:
        return self._target.name

    @property
    def session(self) -> RemoteSession:
        return self._workspace.session(self._target)

    def run(
        self,
        code: str,
        *,
        inputs: Iterable[str] = (),
        files: Iterable[str] = (),
        out: Iterable[str] = (),
        keep: Iterable[str] = (),
        timeout_s: float | None = None,
        yes: bool = False,
        restartable: bool = False,
    ) -> RunSummary:
        """Runs code as one remote cell and merges what it changed; raises what it raised.

        `inputs` adds names to those the code is seen to read, `files` (names and globs, from the notebook's folder on) are sent
        into the target's working folder before, `out` brings these back although large, `keep` leaves these new objects on the
        target, `timeout_s` (seconds of running) interrupts it, `yes` sends large values without asking,
        `restartable` code runs again by itself in a new job when a scheduler has ended its own.
        """
        self._workspace.check_budget(self._target)
        self._workspace.see_assignments(code)
        found = self._reads(code)
        others = [session for session in self._workspace.touched() if session is not self.session]
        self._workspace.refresh(others, found)
        self._workspace.wait_for(found, self.target)
        names, optional = self._names(found, inputs)
        return self._moving_refs(
            lambda: self.session.run(
                code,
                names,
                optional=optional,
                imports=found.imports,
                send_files=files,
                out=out,
                keep=keep,
                timeout_s=timeout_s,
                yes=yes,
                restartable=restartable,
                on_over=lambda summary: self._workspace.remember(code, summary),
            )
        )

    def detach(
        self,
        code: str,
        *,
        inputs: Iterable[str] = (),
        files: Iterable[str] = (),
        out: Iterable[str] = (),
        keep: Iterable[str] = (),
        timeout_s: float | None = None,
        yes: bool = False,
    ) -> DetachedRun:
        """Runs code as `run` does, without waiting for it; what it changed is merged when it is over, between two cells.

        Names that the code reads but its text does not tell must be given as `inputs`: they are not fetched later.
        """
        here = self._workspace
        here.check_budget(self._target)
        here.see_assignments(code)
        found = self._reads(code)
        here.refresh((session for session in here.touched() if session is not self.session), found)
        here.wait_for(found, self.target)
        names, optional = self._names(found, inputs)
        here.between.install()
        run = self._moving_refs(
            lambda: self.session.detach(
                code,
                names,
                optional=optional,
                imports=found.imports,
                send_files=files,
                out=out,
                keep=keep,
                timeout_s=timeout_s,
                yes=yes,
                reads=self._target.detached_reads,
                on_over=lambda run: here.between.soon(),
            )
        )
        here.detached[run.id] = run
        run.on_settled = lambda: here.remember(code, run.summary, run.cell) if run.summary is not None else None
        return run

    def _moving_refs(self, go: Callable[[], T]) -> T:
        """What the code needs of another target goes here first."""
        from .errors import CannotTravel
        from .refs import human_bytes

        while True:
            try:
                return go()
            except CannotTravel as error:
                ref = self._workspace.elsewhere(error.name, self.session)
                if ref is None:
                    raise
                size = human_bytes(ref.info.size_bytes)
                goes = f"goes from {ref._target!r} to {self.target!r} through this notebook"
                self.session.notebook.say(f"{error.name} ({size}) {goes}.")
                ref.fetch()

    def plan(self, code: str, *, inputs: Iterable[str] = ()) -> list[PlanRow]:
        """What `run` would send and why. Sends nothing and starts nothing."""
        from .errors import CannotTravel
        from .exchange import PlanRow

        names, optional = self._names(self._reads(code), inputs)
        moved: list[PlanRow] = []
        while True:
            try:
                return [*moved, *self.session.plan(names, optional)]
            except CannotTravel as error:
                ref = self._workspace.elsewhere(error.name, self.session)
                if ref is None:
                    raise
                why = f"{names.pop(error.name, 'used by what the cell reads')}; it is on {ref._target!r}"
                moved.append(PlanRow(error.name, why, ref.info.type, ref.info.size_bytes, False, ref.info.size_bytes))

    def push(self, *names: str) -> list[Moved]:
        """Sends these names now."""
        self._check_defined(names)
        if not self.session.is_started:
            self._workspace.check_budget(self._target)
        return self.session.push(names)

    def pull(self, *names: str) -> list[Moved]:
        """Brings these names back now, however large."""
        return self.session.pull(names)

    def put(
        self, path: str, there: str | None = None, *, exclude: Iterable[str] = (), overwrite: bool = False, yes: bool = False
    ) -> Copied:
        """Copies a file or a folder to the target: into its working folder, or to `there`, named from that on.

        What is the same there does not travel. Raises Refused, and writes nothing, where a file there is newer and another
        (unless `overwrite`), links lead out of the folder, or the disk there is too full. `exclude` are globs of names, `yes`
        sends very much without asking.
        """
        if not self.session.is_started:
            self._workspace.check_budget(self._target)
        return self.session.put(path, there, tuple(exclude), overwrite, yes)

    def get(self, path: str, here: str | None = None, *, exclude: Iterable[str] = (), overwrite: bool = False) -> Copied:
        """Copies a file or a folder of the target here, as `put` does in the other direction."""
        if not self.session.is_started:
            self._workspace.check_budget(self._target)
        return self.session.get(path, here, tuple(exclude), overwrite)

    def env_diff(self) -> Comparison:
        """Where the target's versions of the packages that this notebook has imported differ, or are missing."""
        from . import environment

        return self.session.compare_packages(environment.imported(self._workspace.namespace))

    def env_sync(self, *packages: str, yes: bool = False) -> Comparison:
        """Installs this notebook's versions into the target's environment: of these distributions, or of all that differ.

        Asks first, unless `yes`; raises Refused when the target's packages are the notebook's own, or nobody can be asked. The
        answer is what differs afterwards.
        """
        from . import environment

        names = environment.installed(packages) if packages else environment.imported(self._workspace.namespace)
        found = self.session.compare_packages(names)
        wanted = environment.requirements(found, self.target)
        if not wanted:
            return found
        environment.confirm(self.session.notebook, self.target, wanted, yes)
        self.session.install(wanted)
        say = self.session.notebook.say
        say(f"What {self.target!r} had imported before stays as it was until %remote restart {self.target}.")
        return self.session.compare_packages(names)

    def env_ship(self, *packages: str, yes: bool = False) -> Shipment:
        """Sends what a kernel needs to a target that reaches no package index, and this notebook's versions of these packages.

        They are downloaded here, for the target's Python and machine, and installed there. Asks before packages are, unless
        `yes`; raises Refused when nobody can be asked. No session is started.
        """
        from . import environment
        from .shipping import ship_to

        notebook = self.session.notebook
        names = environment.installed(packages)
        wanted = environment.installable({name: environment.requirement(name) for name in names}, self.target)
        if wanted:
            environment.confirm(notebook, self.target, wanted, yes, "ship")
        return ship_to(self._target.launch_options(notebook.name), notebook, wanted)

    def lease(self) -> str:
        """The id of the broker's lease that the session has; UsageError where it has none."""
        return self.session.lease()

    def vars(self) -> list[dict[str, Any]]:
        """What the remote kernel holds: name, type, shape, bytes, repr."""
        return self.session.vars()

    def gpus(self) -> dict[str, Any]:
        """What the target's GPUs do now: state, libraries, devices with their processes; bytes, per cent, watts, degrees."""
        return self.session.gpus()

    def status(self) -> SessionStatus:
        return self.session.status()

    def interrupt(self) -> None:
        """As Ctrl-C in the cell that waits."""
        self.session.interrupt()

    def restart(self) -> None:
        """A new remote kernel; what only the old one held is lost."""
        self.session.restart()

    def stop(self) -> None:
        """Ends the session; the next run starts a new one."""
        self.session.stop()

    def log(self, lines: int = 50) -> str:
        """The last lines of the kernel's and the host's log."""
        return self.session.log(lines)

    def _reads(self, code: str) -> Reads:
        from .capture import reads

        shell = self._workspace.shell
        return reads(code, shell.transform_cell if shell is not None else None)

    def _names(self, found: Reads, inputs: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """What must travel and what goes along if it can, each with the reason."""
        asked = dict.fromkeys(inputs, "--in")
        self._check_defined(asked)
        shell = self._workspace.shell
        needs = found.needs(self._workspace.namespace, shell.user_ns_hidden if shell is not None else None)
        magics = found.needs_of_magics(self._workspace.magics)
        made = self._made_by_hand(found.imports)
        return {**made, **asked, **needs.required, **magics.required}, {**needs.optional, **magics.optional}

    def _made_by_hand(self, imports: Iterable[str]) -> dict[str, str]:
        """Names of modules without a file that the cell imports: no target finds them otherwise."""
        from farcell_host.state.handmade import is_handmade

        modules = [module for name in imports if isinstance(module := sys.modules.get(name), ModuleType) and is_handmade(module)]
        if not modules:
            return {}
        return {
            name: "imported by the cell"
            for name, value in self._workspace.namespace.items()
            if any(value is module for module in modules)
        }

    def _check_defined(self, names: Iterable[str]) -> None:
        missing = [name for name in names if name not in self._workspace.namespace]
        if missing:
            from .errors import UsageError

            close = difflib.get_close_matches(missing[0], [name for name in self._workspace.namespace if name[0] != "_"], 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            what = ", ".join(repr(name) for name in missing)
            raise UsageError(f"{what} {'is' if len(missing) == 1 else 'are'} not defined in this notebook.{hint}")

    def __repr__(self) -> str:
        return f"<farcell.Remote {self.target!r}: {self.status().state}>"
