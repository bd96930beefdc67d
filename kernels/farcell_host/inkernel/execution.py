"""One run in the remote kernel: install the state, run the cell as IPython would, collect what changed, reply.

The interrupt guard is held all along except while the user's code runs: a SIGINT during the rest is kept, and the run
is then reported as interrupted, with the state that it left behind.

ipykernel's do_execute transforms the cell twice and parses it twice more to find out whether it awaits; here each is
done once, which is why the coroutine of `run_cell_async` is driven by hand.
"""

# mypy: disable-error-code="no-untyped-call"
# ipykernel and IPython annotate only some of what is called here.

from __future__ import annotations

import asyncio
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipykernel.jsonutil import json_clean
from IPython.core import interactiveshell
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from .. import hashing_seed
from ..files import OPERATIONS, CannotCopy, Files, explain
from ..peermemory import Unreadable
from ..state import Payload
from ..state.modules import MODULES, Source
from ..state.patches import PATCHES
from . import environment, saving
from .background import Background
from .exchange import Channel, Exchange, Refused, Reply, Request, explain_failure
from .interrupts import InterruptGuard
from .namespace import Namespace
from .preview import describe
from .shell import RemoteKernel, RemoteShell

_ASYNCIO_RUNNER = getattr(interactiveshell, "_asyncio_runner", None)
LATE_REPLY_S = 10.0  # a fetch that an interrupt left unanswered: its reply says what the notebook believes we hold


@dataclass
class _Run:
    """What is known of the run that is going on."""

    request: Request
    channel: Channel
    parent: dict[str, Any]
    missing: set[str]
    fetched: set[str]
    missing_modules: set[str] = field(default_factory=set)


class Runner:
    """Serves farcell's requests; always on the main thread, one at a time. Only `fetch` is called from other threads too."""

    def __init__(self, kernel: RemoteKernel, exchange: Exchange, guard: InterruptGuard) -> None:
        self.kernel = kernel
        self.shell: RemoteShell = kernel.shell
        self.namespace: Namespace = kernel.shell.user_ns
        self.exchange = exchange
        self.magics = exchange.replica.magics
        self.guard = guard
        self.background = Background()
        self.files = Files(self._check)
        self._run: _Run | None = None
        self._streams = (sys.stdout, sys.stderr)  # the kernel's own, whatever a cell puts in their place
        self._fetch_lock = threading.RLock()
        self._unanswered = 0

    async def run(self, request: Request, channel: Channel) -> Reply:
        """farcell_run_request -> farcell_run_reply."""
        start = time.monotonic()
        with self.guard.serving(request.content.get("run")):
            reply = await self._run_guarded(request, channel)
            reply.content["usage"] = {"seconds": time.monotonic() - start}
            reply.content["interrupts"] = self.guard.arrivals
        return reply

    async def _run_guarded(self, request: Request, channel: Channel) -> Reply:
        content = request.content
        namespace = self.namespace
        try:
            self.exchange.install(content.get("state"), request.buffers, request.take_bulk(self._check))
        except Refused as refusal:
            return _refusal(content, str(refusal))
        except Unreadable as error:
            return _refusal(content, str(error), unreadable=True)
        except _Cancelled:
            return _refusal(content, "The run was cancelled before it began", status="aborted")
        self.exchange.drop(content.get("drop") or ())
        PATCHES.watch(content.get("assigned") or ())
        self._refresh_builtins(content["code"])
        verified = set(content.get("names") or ())
        before, magics_before = namespace.begin_run(verified), self.magics.begin_run(verified)
        self._run = run = _Run(request, channel, self._set_parent(request, channel), set(), set())
        if content.get("tell_installed"):
            self.kernel.send_response(self.kernel.iopub_socket, "farcell_installed", {"run": content.get("run")})
        try:
            result = await self._execute(content)
            self._settle_fetches()
            answer = self._answer(content, result)
            answer["background"] = self.background.goes_on
            answer["imported"] = self.exchange.imported()
            answer["gone"] = self.exchange.gone()
            answer["hash_probe"] = hashing_seed.probe()
            changes = namespace.changes_since(before)
            known = verified | run.fetched
            bound = {*changes.new, *self.magics.changes_since(magics_before)} - known
            payload = self._collect(known | bound | changes.rebound | changes.deleted, bound, content, result, answer)
            stuck = ", ".join(PATCHES.newly_stuck())
            if stuck:
                answer.setdefault("message", f"{stuck}, set by the cell, cannot travel: on the target only it is so.")
        finally:
            self._run = None
            self.shell.prune(content["execution_count"], verified | run.fetched)
            namespace.end_run()
            self.magics.end_run()
            self.flush()
        if self.guard.take_pending() and answer["status"] == "ok":
            answer.update(_interrupted())
        state = payload.header if payload is not None and not payload.is_empty else None
        return Reply(
            "farcell_run_reply",
            {**answer, "state": state},
            payload.buffers if payload is not None and state is not None else (),
            payload.bulk if payload is not None and state is not None else (),
        )

    def _check(self) -> None:
        if self.guard.is_pending:
            raise _Cancelled

    def flush(self) -> None:
        """All that was written before is on its way when this returns."""
        for stream in self._streams:
            stream.flush()

    def _refresh_builtins(self, code: str) -> None:
        if "builtins" in code:
            self.namespace.unseed()
        elif not self.namespace.is_seeded or self.namespace.has_stale_seeds():
            self.namespace.seed()

    def _set_parent(self, request: Request, channel: Channel) -> dict[str, Any]:
        """Outputs belong to the notebook's cell: its header, which the request bears, with the type that a front end expects."""
        header = {**request.header, "msg_type": "execute_request"}
        parent = {
            "header": header,
            "msg_id": header["msg_id"],
            "msg_type": "execute_request",
            "parent_header": {},
            "metadata": {},
            "content": {"code": request.content["code"]},
            "buffers": [],
        }
        self.kernel.set_parent(channel.ident, parent, "shell")
        return parent

    # The cell

    async def _execute(self, content: dict[str, Any]) -> ExecutionResult:
        """Never raises: whatever ends the cell is in the result."""
        shell = self.shell
        code, silent = content["code"], bool(content.get("silent"))
        store = bool(content.get("store_history", not silent)) and not silent
        info = ExecutionInfo(code, store, silent, True, None)
        result: ExecutionResult | None = None
        shell.begin_run(content["execution_count"], code, content.get("filename"))
        try:
            with self.guard.released(), self.background.cell():
                self.kernel._forward_input(bool(content.get("allow_stdin")))
                try:
                    result = await self._run_cell(code, store, silent)
                finally:
                    self.namespace.fetch = None
                    self.kernel._restore_input()
                    shell.events.trigger("post_execute")
                    if not silent:
                        shell.events.trigger("post_run_cell", result)
        except BaseException as error:  # an interrupt outside of the user's code, or a fault of a callback
            if result is None or isinstance(error, KeyboardInterrupt):
                result = result or ExecutionResult(info)
                result.error_in_exec = error
                shell.showtraceback()
        return result

    async def _run_cell(self, code: str, store: bool, silent: bool) -> ExecutionResult:
        shell = self.shell
        failure = None
        try:
            cell = shell.transform_cell(code)
        except Exception:
            cell, failure = code, sys.exc_info()
        self.namespace.fetch = self.fetch  # not before: looking for magics, the transformation tries names
        waits = ("await" in cell or "async" in cell) and shell.should_run_async(
            code, transformed_cell=cell, preprocessing_exc_tuple=failure
        )
        if waits and (shell.trio_runner or shell.loop_runner is not _ASYNCIO_RUNNER):
            elsewhere: ExecutionResult = shell.run_cell_of_notebook(code, store_history=store, silent=silent)
            return elsewhere  # %autoawait trio and the like
        coroutine = shell.run_cell_async(
            code, store_history=store, silent=silent, transformed_cell=cell, preprocessing_exc_tuple=failure
        )
        if waits:
            task = asyncio.ensure_future(coroutine)
            with self.guard.cancelling(task):
                return await task
        try:
            coroutine.send(None)
        except StopIteration as end:
            result: ExecutionResult = end.value
            return result
        coroutine.close()
        raise RuntimeError("IPython's run_cell_async waits in a cell that does not")

    def _answer(self, content: dict[str, Any], result: ExecutionResult) -> dict[str, Any]:
        """The reply's content, but for the state."""
        shell = self.shell
        error = result.error_before_exec if result.error_before_exec is not None else result.error_in_exec
        traceback = shell.end_run(error)
        printed = error is not None and shell.printed is error
        answer: dict[str, Any] = {
            "run": content.get("run"),
            "status": "ok",
            "execution_count": content["execution_count"],
            "user_expressions": {},
            "payload": json_clean(shell.payload_manager.read_payload()),
            "has_result": error is None and result.result is not None,
        }
        shell.payload_manager.clear_payload()
        if error is not None:
            answer.update(status="error", ename=type(error).__name__, evalue=_text(error), traceback=traceback, printed=printed)
        elif shell.unshown:
            answer["unshown"] = shell.unshown
        elif content.get("user_expressions"):
            answer["user_expressions"] = json_clean(shell.user_expressions(content["user_expressions"]))
        return answer

    def _collect(
        self, names: set[str], bound: set[str], content: dict[str, Any], result: ExecutionResult, answer: dict[str, Any]
    ) -> Payload | None:
        error = result.error_before_exec if result.error_before_exec is not None else result.error_in_exec
        pseudo: dict[str, Any] = {}
        if answer["has_result"]:
            pseudo.update(result=result.result, has_result=True)
        if error is not None:
            pseudo["error"] = error
        try:
            return self.exchange.collect(names, content, bound, **pseudo)
        except Exception as failure:
            if answer["status"] == "ok":
                answer.update(status="error", ename=type(failure).__name__, evalue=_text(failure), traceback=[])
            answer["has_result"] = False
            answer["message"] = f"The cell has run, but what it changed stays on the target: {_text(failure)}"
            return None

    # Names that were not sent

    def fetch(self, name: str) -> bool:
        """Called by the namespace, on any thread, when the running cell reads a name that it does not hold."""
        with self._fetch_lock:
            run = self._run
            if run is None or name in run.missing:
                return False
            if name in self.exchange.replica.places:  # another thread was faster
                return True
            elsewhere = run.request.content.get("elsewhere")
            if elsewhere is not None:  # nobody is there who could be asked
                if name in elsewhere:
                    raise NameError(
                        f"name {name!r} cannot be fetched from the notebook: a detached run gets what its text reads when it is "
                        f"sent off. To send it along: --in {name}"
                    )
                run.missing.add(name)
                return False
            with self.guard:
                self.flush()
                run.channel.send_fetch({"run": run.request.content.get("run"), "names": [name]}, run.parent)
                self._unanswered += 1
            error = self._settle_fetches(None)
            if error:
                raise NameError(f"name {name!r} cannot be fetched from the notebook: {error}")
            if name not in self.exchange.replica.places:
                run.missing.add(name)
                return False
            return True

    def find_module(self, name: str, anew: bool) -> bool:
        """Called by an import that found nothing here: whether the notebook has such a module; it can be loaded then.

        With `anew` as its file is now, not as the notebook has loaded it.
        """
        with self._fetch_lock:
            run = self._run
            if run is None or name in run.missing_modules or run.request.content.get("elsewhere") is not None:
                return False
            with self.guard:
                asked: dict[str, Any] = {"run": run.request.content.get("run"), "names": [], "module": name, "anew": anew}
                run.channel.send_fetch(asked, run.parent)
                self._unanswered += 1
            MODULES.sources.pop(name, None)
            self._settle_fetches(None)
            if name not in MODULES.sources:
                run.missing_modules.add(name)
            return name in MODULES.sources

    def _settle_fetches(self, timeout_s: float | None = LATE_REPLY_S) -> str | None:
        """Waits for every fetch reply that is due and installs them in order; the last one's error."""
        error = None
        with self._fetch_lock:
            run = self._run
            while self._unanswered and run is not None:
                reply = run.channel.wait_fetch_reply(timeout_s)
                with self.guard:
                    if reply is None:
                        self._unanswered = 0
                        return "the notebook did not answer"
                    self._unanswered -= 1
                    error = self.install_fetched(reply)
        return error

    def install_fetched(self, reply: Request) -> str | None:
        """Installs what a fetch brought; the reason when it brought nothing.

        Late replies are installed too: the notebook counts on it that we hold what it sent.
        """
        found = reply.content.get("found") or ()
        source = reply.content.get("source")
        if source:
            MODULES.sources[source["name"]] = Source(**source)
        self.namespace.reveal(found)
        self.magics.reveal(found)
        try:
            self.exchange.install(reply.content.get("state"), reply.buffers, reply.take_bulk())
        except Refused as refusal:
            return str(refusal)
        if self._run is not None:
            self._run.fetched.update(found)
        return reply.content.get("error") or None

    # Outside of cells

    def exchange_state(self, request: Request) -> Reply:
        """farcell_state_request -> farcell_state_reply: push and pull."""
        content = request.content
        answer: dict[str, Any] = {"status": "ok", "message": "", "state": None, "missing": []}
        names = content.get("names") or []
        with self.guard.serving():
            try:
                self.exchange.install(content.get("install"), request.buffers, request.take_bulk())
                self.exchange.drop(content.get("drop") or ())
                answer["missing"] = [name for name in names if name not in self.namespace]
                answer["background"] = self.background.goes_on
                if content.get("start_over"):
                    self.exchange.start_over()
                if content.get("copies"):
                    payload = self.exchange.copies([name for name in names if name in self.namespace], content)
                    return Reply("farcell_state_reply", {**answer, "copies": payload.header}, payload.buffers, payload.bulk)
                known = names if content.get("refresh") else [name for name in names if name in self.namespace]
                payload = self.exchange.collect(known, content, bound=content.get("out") or ())
            except Refused as refusal:
                return Reply("farcell_state_reply", {**answer, "status": "refused", "message": str(refusal)})
            except Unreadable as error:
                return Reply("farcell_state_reply", {**answer, "status": "refused", "message": str(error), "unreadable": True})
            except Exception as error:
                message = f"{type(error).__name__}: {error}"
                return Reply("farcell_state_reply", {**answer, "status": "error", "message": message})
        if payload.is_empty:
            return Reply("farcell_state_reply", answer)
        return Reply("farcell_state_reply", {**answer, "state": payload.header}, payload.buffers, payload.bulk)

    def meet_modules(self, request: Request) -> Reply:
        """farcell_modules_request -> farcell_modules_reply: modules of the notebook's own."""
        answer: dict[str, Any] = {"status": "ok", "message": "", "unequal": {}, "failed": {}}
        with self.guard.serving():
            try:
                answer.update(self.exchange.meet(request.content.get("modules") or []))
            except Exception as error:
                answer.update(status="error", message=f"{type(error).__name__}: {error}")
        return Reply("farcell_modules_reply", answer)

    def serve_files(self, request: Request) -> Reply:
        """farcell_files_request -> farcell_files_reply: an operation of `Files`, on the target's."""
        content = request.content
        answer: dict[str, Any] = {"status": "ok", "message": "", "answer": None, "places": []}
        contents = Payload({})
        with self.guard.serving():
            try:
                operation, arguments = content["operation"], content["arguments"]
                if operation not in OPERATIONS:
                    raise CannotCopy(f"This kernel host is of a farcell that cannot {operation!r} files.")
                if operation == "write":
                    given = Payload({}, list(request.buffers), request.take_bulk())
                    arguments["contents"] = [given.find(place) for place in content["places"]]
                answer["answer"] = getattr(self.files, operation)(**arguments)
                if operation == "read":
                    answer.update(places=[contents.place(data) for data in answer["answer"]], answer=None)
            except _Cancelled:
                self.guard.take_pending()
                answer.update(status="aborted", message="cancelled")
            except Unreadable as error:
                answer.update(status="refused", message=str(error), unreadable=True)
            except (OSError, CannotCopy) as error:
                answer.update(status="refused", message=explain(error))
        return Reply("farcell_files_reply", answer, contents.buffers, contents.bulk)

    def describe_environment(self, request: Request) -> Reply:
        """farcell_environment_request -> farcell_environment_reply: versions of installed packages."""
        with self.guard.serving():
            found = environment.describe(request.content.get("distributions") or ())
        return Reply("farcell_environment_reply", {"status": "ok", **found})

    def save(self, request: Request) -> Reply:
        """farcell_save_request -> farcell_save_reply: the namespace into a folder."""
        content = request.content
        with self.guard.serving():
            try:
                hashes = self.exchange.replica.hashes
                manifest = saving.save(self.namespace, hashes, Path(content["folder"]), content.get("about") or {})
            except Exception as error:
                return Reply("farcell_save_reply", {"status": "error", "message": f"{type(error).__name__}: {error}"})
        return Reply("farcell_save_reply", {"status": "ok", "message": "", "manifest": manifest})

    def restore(self, request: Request) -> Reply:
        """farcell_restore_request -> farcell_restore_reply: names out of such a folder, told as if a run had bound them."""
        content = request.content
        answer: dict[str, Any] = {"status": "ok", "message": "", "restored": [], "state": None}
        with self.guard.serving():
            try:
                wanted = content.get("names") or []
                restored = saving.restore(self.namespace, self.exchange.replica.hashes, Path(content["folder"]), wanted)
                payload = self.exchange.collect(restored, content, bound=restored)
            except Exception as error:
                return Reply("farcell_restore_reply", {**answer, "status": "error", "message": explain_failure(error)})
        answer["restored"] = restored
        if payload.is_empty:
            return Reply("farcell_restore_reply", answer)
        return Reply("farcell_restore_reply", {**answer, "state": payload.header}, payload.buffers, payload.bulk)

    def describe_names(self) -> Reply:
        """farcell_vars_request -> farcell_vars_reply."""
        namespace = self.namespace
        with self.guard.serving():
            described = [describe(name, namespace[name]) for name in sorted(namespace.user_names())]
        return Reply("farcell_vars_reply", {"status": "ok", "vars": described})

    def tell_values(self, request: Request) -> Reply:
        """farcell_values_request -> farcell_values_reply: what there is, and values as data for whoever may read them alone."""
        namespace, content = self.namespace, request.content
        with self.guard.serving():
            described = [describe(name, namespace[name]) for name in sorted(namespace.user_names())]
            try:
                values = self.exchange.readings(content["names"], content["most_bytes"]) if content["names"] else None
            except Exception as error:
                message = str(error) if isinstance(error, Refused) else explain_failure(error)
                return Reply("farcell_values_reply", {"status": "refused", "message": message})
        return Reply("farcell_values_reply", {"status": "ok", "vars": described, "values": values})


class _Cancelled(Exception):
    """An interrupt while the notebook's values were read."""


def _refusal(content: dict[str, Any], message: str, status: str = "refused", unreadable: bool = False) -> Reply:
    return Reply(
        "farcell_run_reply",
        {
            "run": content.get("run"),
            "status": status,
            "message": message,
            "unreadable": unreadable,
            "execution_count": content["execution_count"],
            "user_expressions": {},
            "payload": [],
            "has_result": False,
            "state": None,
        },
    )


def _interrupted() -> dict[str, Any]:
    """A signal that came when the cell's code had ended."""
    return {"status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": ["KeyboardInterrupt: "]}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} whose text cannot be made>"


CELL_CODE = InteractiveShell.run_code.__code__
