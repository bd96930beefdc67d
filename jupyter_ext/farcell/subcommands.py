"""`%remote SUBCOMMAND`: each parses its words, calls the API and shows the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .api import Remote, Workspace
from .errors import Conflict
from .refs import fetch_all
from .relay.card import duration
from .shown import copied_text, first_line, gpu_texts, packages_table, plan_table, shape_text, shipped_text, size_text
from .tables import Table
from .words import Parser, parse, parse_copy, split_names

if TYPE_CHECKING:
    from .magics import LastCell
    from .switch import Switch


class Subcommands:
    """Of one shell. `last`: the `%%remote` cell that ran last."""

    def __init__(self, workspace: Workspace, switch: Switch, last: LastCell | None) -> None:
        self._workspace, self._switch, self._last = workspace, switch, last

    def call(self, name: str, words: list[str]) -> dict[str, Any] | None:
        """`name` is one of `magics.SUBCOMMANDS`; raises UsageError for words that it does not take."""
        found: dict[str, Any] | None = getattr(self, f"_do_{name}")(words)
        return found

    def _do_status(self, words: list[str]) -> None:
        self._none("status", words)
        rows = []
        for name, session in self._workspace.sessions.items():
            s = session.status()
            moved = size_text(s.sent), size_text(s.received)
            rows.append([name, s.state, s.pid, s.kernel_pid, s.runs, s.queued, *moved, s.runtime])
        columns = ["target", "state", "host pid", "kernel pid", "runs", "waiting", "sent", "received", "runtime folder"]
        self._show(Table("Remote sessions", columns, rows, "none yet; the first %%remote cell starts one"))
        detached = self._workspace.detached.values()
        if detached:
            rows = [[r.id, r.target, r.cell, r.state, duration(r.seconds), first_line(r.code)] for r in detached]
            self._show(Table("Detached runs", ["run", "target", "cell", "state", "time", "code"], rows, ""))

    def _do_plan(self, words: list[str]) -> None:
        self._none("plan", words)
        if self._last is None:
            raise UsageError("There is no %%remote cell yet whose plan could be shown.")
        target, code, inputs = self._last
        self._show(plan_table(target.name, Remote(self._workspace, target).plan(code, inputs=inputs)))

    def _do_targets(self, words: list[str]) -> None:
        self._none("targets", words)
        targets = self._workspace.targets()
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
        options = parse(command, words, target=True, fetch=True)
        remote = self._remote(options.target)
        refs = self._workspace.refs_of(remote.session) if remote.session.is_started and not remote.session.is_running else {}
        if not refs:
            return remote
        what = ", ".join(f"{name} ({size_text(ref.info.size_bytes)})" for name, ref in refs.items())
        fetch = options.fetch
        if fetch is None:
            fetch = remote.session.notebook.confirm(f"Only {remote.target!r} has {what}. Fetch before it ends?")
        if fetch is None:
            print(f"farcell: lost with the session on {remote.target!r}: {what}. Next time --fetch keeps them.", file=sys.stderr)
        if fetch:
            fetch_all(list(refs.values()), remote.session.notebook)
        return remote

    def _do_reconnect(self, words: list[str]) -> None:
        self._one_remote("reconnect", words).session.reconnect()
        self._do_status([])

    def _do_save(self, words: list[str]) -> None:
        self._one_remote("save", words).session.save()

    def _do_restore(self, words: list[str]) -> None:
        targets = self._workspace.targets()
        is_named = bool(words) and words[0] in targets.known
        remote = Remote(self._workspace, targets.get(words[0] if is_named else None))
        remote.session.restore(split_names(words[1:] if is_named else words))

    def _do_forget(self, words: list[str]) -> None:
        remote = self._one_remote("forget", words)
        print(f"Removed {remote.session.forget_snapshots()} snapshots of this notebook on {remote.target!r}.")

    def _do_vars(self, words: list[str]) -> None:
        remote = self._one_remote("vars", words)
        rows = [[v["name"], v["type"], shape_text(v.get("shape")), size_text(v.get("bytes")), v["repr"]] for v in remote.vars()]
        self._show(Table(f"Variables on {remote.target!r}", ["name", "type", "shape", "size", "value"], rows))

    def _do_pull(self, words: list[str]) -> None:
        remote, names = self._names_and_remote("pull", words)
        self._show_moved(f"Pulled from {remote.target!r}", remote.pull(*names))

    def _do_push(self, words: list[str]) -> None:
        remote, names = self._names_and_remote("push", words)
        self._show_moved(f"Pushed to {remote.target!r}", remote.push(*names))

    def _do_put(self, words: list[str]) -> None:
        options = parse_copy("put", words)
        remote = self._remote(options.target)
        copied = remote.put(options.path, options.place, exclude=options.exclude, overwrite=options.overwrite, yes=options.yes)
        print(copied_text(copied, f"to {copied.root} on {remote.target!r}", "Sent"))

    def _do_get(self, words: list[str]) -> None:
        options = parse_copy("get", words)
        remote = self._remote(options.target)
        copied = remote.get(options.path, options.place, exclude=options.exclude, overwrite=options.overwrite)
        print(copied_text(copied, f"from {remote.target!r} to {copied.root}", "Fetched"))

    def _do_wait(self, words: list[str]) -> None:
        parser = Parser(prog="%remote wait", add_help=False)
        parser.add_argument("run", nargs="?")
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument("--theirs", action="store_true")
        whose.add_argument("--ours", action="store_true")
        options = parser.parse_args(words)
        run = self._workspace.detached_run(options.run)
        self._workspace.wait(run, f"waiting for run {run.id} on {run.target!r}")
        if run.conflict is not None:
            if not (options.theirs or options.ours):
                raise Conflict(str(run.conflict), run.id, run.conflict.names)
            self._workspace.resolve(run.id, take=options.theirs)
            run.resolved(options.theirs)
        if run.error is not None:
            raise run.error

    def _do_results(self, words: list[str]) -> dict[str, Any]:
        parser = Parser(prog="%remote results", add_help=False)
        parser.add_argument("run", nargs="?")
        run = self._workspace.detached_run(parser.parse_args(words).run)
        self._workspace.settle_over()
        if run.is_running:
            raise UsageError(f"Run {run.id} on {run.target!r} goes on. %remote wait {run.id} waits for it.")
        return self._workspace.results(run)

    def _do_attach(self, words: list[str]) -> None:
        parser = Parser(prog="%remote attach", add_help=False)
        parser.add_argument("run", nargs="?")
        parser.add_argument("--takeover", action="store_true")
        options = parser.parse_args(words)
        self._workspace.attach(options.run, options.takeover)

    def _do_resolve(self, words: list[str]) -> None:
        parser = Parser(prog="%remote resolve", add_help=False)
        parser.add_argument("run", nargs="?")
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--remote", action="store_true")
        whose.add_argument("--local", action="store_true")
        options = parser.parse_args(words)
        conflict = self._workspace.resolve(options.run, take=options.remote)
        side = f"{conflict.target!r}'s" if options.remote else "this notebook's"
        print(f"{', '.join(conflict.names) or 'The object'}: {side} values hold.")

    def _do_env(self, words: list[str]) -> None:
        parser = Parser(prog="%remote env", add_help=False)
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
        parser = Parser(prog="%remote usage", add_help=False)
        parser.add_argument("--by", choices=["target", "notebook", "day"], default="target")
        by = parser.parse_args(words).by
        currency = self._workspace.targets().currency
        from .totals import is_kept, usage, usage_table

        standings = self._standings()
        for table in standings:
            self._show(table)
        if standings and not is_kept():
            return  # the broker keeps its own record
        self._show(usage_table(by, usage(by), currency))

    def _standings(self) -> list[Table]:
        """What the brokers say that this person's targets belong to."""
        targets = self._workspace.targets()
        if not any(targets.get(name).backend == "broker" for name in targets.names):
            return []
        from .backends.broker.standing import standings

        return standings(targets)

    def _do_log(self, words: list[str]) -> None:
        if "--replay" in words:
            rest = [word for word in words if word != "--replay"]
            if len(rest) != 1:
                raise UsageError("%remote log RUN --replay takes one run, as %remote log lists them.")
            self._workspace.replay(rest[0])
            return
        options = parse("log", words, target=True, lines=True)
        if options.lines is not None:
            print(self._remote(options.target).log(options.lines))
            return
        runs = [run for run in self._workspace.runs if options.target in (None, run.summary.target)]
        measured = any(run.summary.usage.get("gpus") for run in runs)
        priced = any(run.summary.cost is not None for run in runs)
        rows = [
            [
                run.cell,
                run.summary.run[:8],
                run.summary.target,
                ", ".join(row.name for row in run.summary.sent if not row.there) or "-",
                ", ".join(run.summary.back) or "-",
                size_text(run.summary.sent_bytes),
                size_text(run.summary.received_bytes),
                f"{run.summary.seconds:.2f}",
                run.summary.ended,
                *(gpu_texts(run.summary.usage.get("gpus") or {}) if measured else ()),
                *(["-" if run.summary.cost is None else f"{run.summary.cost:.4f}"] if priced else ()),
                run.code,
            ]
            for run in runs
        ]
        also = ["GPU memory", "GPU use"] if measured else []
        also += [f"cost {self._workspace.targets().currency}".rstrip()] if priced else []
        columns = ["cell", "run", "target", "sent", "back", "bytes sent", "bytes back", "seconds", "ended", *also, "code"]
        self._show(Table("Remote runs", columns, rows, "none yet"))

    def _do_share(self, words: list[str]) -> None:
        parser = Parser(prog="%remote share", add_help=False)
        parser.add_argument("run", nargs="?")
        parser.add_argument("--session", action="store_true")
        parser.add_argument("--with", dest="readers", action="append", default=[], metavar="USER")
        parser.add_argument("--for", dest="lasts", metavar="TIME")
        parser.add_argument("--broker", metavar="TARGET")
        parser.add_argument("--end", metavar="SHARE")
        options = parser.parse_intermixed_args(words)
        from .backends.broker import sharing

        targets = self._workspace.targets()
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
        run, target, outputs = self._workspace.outputs_of(options.run)
        print(sharing.share(broker, run, target, outputs, readers, options.lasts))

    def _do_shared(self, words: list[str]) -> None:
        parser = Parser(prog="%remote shared", add_help=False)
        parser.add_argument("share", nargs="?")
        parser.add_argument("--pull", action="append", default=[], metavar="NAME")
        parser.add_argument("--broker", metavar="TARGET")
        options = parser.parse_args(words)
        from .backends.broker import sharing

        broker = sharing.broker_of(self._workspace.targets(), options.broker)
        if options.share is None:
            if options.pull:
                raise UsageError("%remote shared SHARE --pull NAME: of which share?")
            self._show(sharing.listed(broker))
            return
        names = [name for value in options.pull for name in value.split(",") if name]
        if names:
            self._workspace.namespace.update(sharing.pull(broker, options.share, names))
            print(f"Read as data from share {options.share}: {', '.join(names)}.")
        elif (held := sharing.show(broker, options.share)) is not None:
            self._show(held)

    def _do_sessions(self, words: list[str]) -> None:
        parser = Parser(prog="%remote sessions", add_help=False)
        parser.add_argument("--all", action="store_true")
        parser.add_argument("--end", metavar="ID")
        parser.add_argument("--yes", action="store_true")
        options = parser.parse_args(words)
        from . import everywhere

        for each in self._workspace.sessions.values():
            each.acknowledge()
        if options.end is None:
            found = everywhere.look(self._workspace.targets(), options.all)
            self._show(everywhere.table(found))
            for fault in found.faults:
                print(f"farcell: {fault}", file=sys.stderr)
            return
        found = everywhere.look_to_end(self._workspace.targets(), options.all)
        hint = "" if options.all else ", and --all for those on other machines"
        chosen = everywhere.choose(found, options.end, options.yes, hint)
        mine = next((each for each in self._workspace.sessions.values() if each.status().runtime == chosen.runtime), None)
        if mine is not None:
            mine.stop()
        else:
            everywhere.end(chosen)
        print(f"Session {chosen.id} on {chosen.target!r} has ended.")

    def _do_on(self, words: list[str]) -> None:
        if len(words) > 1:
            raise UsageError("%remote on takes one target.")
        target = self._workspace.targets().get(words[0] if words else None)
        self._switch.target = target.name
        print(f"All following cells run on {target.name!r}, until %remote off. A cell with %%local on top stays here.")

    def _do_off(self, words: list[str]) -> None:
        self._none("off", words)
        self._switch.target = None
        print("Cells run in this notebook's own kernel again.")

    # -- inside

    def _remote(self, name: str | None) -> Remote:
        """A target by name; without one the last cell's, or the default."""
        if name is None and self._last is not None:
            return Remote(self._workspace, self._last.target)
        return Remote(self._workspace, self._workspace.targets().get(name))

    def _one_remote(self, command: str, words: list[str]) -> Remote:
        return self._remote(parse(command, words, target=True).target)

    def _names_and_remote(self, command: str, words: list[str]) -> tuple[Remote, list[str]]:
        options = parse(command, words, names=True)
        return self._remote(options.target), split_names(options.names)

    def _none(self, command: str, words: list[str]) -> None:
        if words:
            raise UsageError(f"%remote {command} takes no arguments.")

    def _show(self, table: Table) -> None:
        from IPython.display import display

        display(table)  # type: ignore[no-untyped-call]

    def _show_moved(self, title: str, moved: Sequence[Any]) -> None:
        self._show(Table(title, ["name", "type", "bytes"], [[m.name, m.type, size_text(m.bytes)] for m in moved]))
