"""The few places where the remote kernel's shell differs from ipykernel's: its namespace, its history, who shows errors."""

# mypy: disable-error-code="no-untyped-call"
# ipykernel and IPython annotate only some of what is called here.

from __future__ import annotations

import asyncio
import signal
import sys
import warnings
from collections.abc import Container
from typing import Any

from ipykernel.compiler import XCachingCompiler
from ipykernel.displayhook import ZMQShellDisplayHook
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core import interactiveshell
from IPython.core.error import UsageError
from IPython.core.history import HistoryManager
from traitlets import Type

from ..single_lines import transform_by
from .interrupts import cut_handler
from .namespace import MainModule, Namespace

_INSIDE = "This cell already runs on {where}: %remote and %%remote work in the notebook only."


class RemoteHistory(HistoryManager):
    """What this kernel has run, in memory, at the notebook's cell numbers: the notebook's own kernel keeps the history.

    `In`, `_ih`, `_i`, `_i5`, ... are not bound: reading one asks the notebook.
    """

    def __init__(self, shell: Any = None, config: Any = None, **traits: Any) -> None:
        super().__init__(shell=shell, config=config, **{**traits, "enabled": False})

    def store_inputs(self, line_num: int, source: str, source_raw: str | None = None) -> None:
        for lines, text in ((self.input_hist_parsed, source), (self.input_hist_raw, source_raw or source)):
            lines.extend([""] * (line_num - len(lines)))
            lines.append(text.rstrip("\n"))

    def store_output(self, line_num: int) -> None:
        pass


class RemoteCompiler(XCachingCompiler):
    """Compiles the notebook's cell under the name it has there: a function's code tells the same on both sides."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.names: dict[str, str] = {}
        """Code -> its file name."""

    def get_code_name(self, raw_code: str, code: str, number: int) -> str:
        return self.names.get(raw_code) or super().get_code_name(raw_code, code, number)


class RemoteDisplayHook(ZMQShellDisplayHook):
    """Keeps results until the run is over; `_oh` in the namespace may be the notebook's."""

    shell: Any

    def update_user_ns(self, result: Any) -> None:
        namespace = self.shell.user_ns
        of_notebook = dict.pop(namespace, "_oh", self)
        namespace["_oh"] = self.shell.history_manager.output_hist
        try:
            super().update_user_ns(result)
        finally:
            dict.pop(namespace, "_oh")
            if of_notebook is not self:
                namespace["_oh"] = of_notebook


class RemoteShell(ZMQInteractiveShell):
    """While a run goes on, the error that ends it is kept for the reply: the notebook raises it, and shows it once.

    Any other error (a nested run_cell, %tb, a failing repr) is published as ever.
    """

    compile: RemoteCompiler
    displayhook_class = Type(RemoteDisplayHook)
    history_manager: Any
    payload_manager: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._kept: list[tuple[type[BaseException], BaseException, list[str]]] = []
        self.printed: BaseException | None = None
        """The error that was shown last and is not kept: IPython prints groups of exceptions itself."""
        self.unshown: list[str] = []
        """The traceback of an error that came when the result was to be shown."""
        self._is_running = False
        self._nested = 0
        super().__init__(*args, **kwargs)
        interactiveshell.warn = self._warn  # type: ignore[attr-defined, assignment]
        for kind in ("line", "cell"):
            self.magics_manager.register_function(_already_remote, kind, "remote")

    def init_history(self) -> None:
        self.history_manager = RemoteHistory(shell=self, parent=self)
        configurables: list[Any] = self.configurables
        configurables.append(self.history_manager)

    def ask_exit(self) -> None:
        """`exit` asks the notebook's front end; this kernel's life is the session's affair."""
        self.payload_manager.write_payload({"source": "ask_exit", "keepkernel": self.keepkernel_on_exit})

    def transform_cell(self, raw_cell: str) -> str:
        return transform_by(super().transform_cell, self, raw_cell)

    def find_line_magic(self, magic_name: str) -> Any:
        return self.find_magic(magic_name)

    def find_cell_magic(self, magic_name: str) -> Any:
        return self.find_magic(magic_name, "cell")

    def find_magic(self, magic_name: str, magic_kind: str = "line") -> Any:
        """The notebook is asked for one that is not here while a cell runs."""
        found = super().find_magic(magic_name, magic_kind)
        fetch = self.user_ns.fetch
        if found is None and fetch is not None and fetch(f"{'%%' if magic_kind == 'cell' else '%'}{magic_name}"):
            found = super().find_magic(magic_name, magic_kind)
        return found

    def _find_with_lazy_load(self, /, type_: str, magic_name: str) -> Any:
        """By which IPython finds those that it runs."""
        found = super()._find_with_lazy_load(type_, magic_name)
        return found if found is not None else self.find_magic(magic_name, type_)

    def run_cell(self, *args: Any, **kwargs: Any) -> Any:
        self._nested += 1
        try:
            return super().run_cell(*args, **kwargs)
        finally:
            self._nested -= 1

    def run_cell_of_notebook(self, *args: Any, **kwargs: Any) -> Any:
        """ZMQInteractiveShell.run_cell for the run itself, not for a cell nested in it."""
        return super().run_cell(*args, **kwargs)

    def begin_run(self, execution_count: int, code: str, filename: str | None) -> None:
        self.execution_count = execution_count
        self.compile.names = {code: filename} if filename else {}
        self._kept = []
        self.printed, self.unshown = None, []
        self._is_running = True
        self._last_traceback = None

    def end_run(self, error: BaseException | None) -> list[str]:
        """The traceback of the error that ended the run; what else was kept is published now."""
        self._is_running = False
        kept, self._kept = self._kept, []
        lines: list[str] = []
        for kind, value, traceback in kept:
            if value is error:
                lines = traceback
            elif kind is not UsageError:
                super()._showtraceback(kind, value, traceback)
        return lines

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        error = exc_tuple[1] if exc_tuple is not None else sys.exc_info()[1]
        kept = len(self._kept)
        cut_handler(error)
        super().showtraceback(exc_tuple, *args, **kwargs)
        self.printed = error if len(self._kept) == kept else None

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        if not self._may_end_the_run(evalue):
            if self._is_running and not self._nested and getattr(self.displayhook, "msg", None) is not None:
                self.unshown = stb
            super()._showtraceback(etype, evalue, stb)
            return
        self._kept.append((etype, evalue, stb))
        self._last_traceback = stb

    def show_usage_error(self, exc: BaseException) -> None:
        if not self._may_end_the_run(exc):
            super().show_usage_error(exc)
            return
        self._kept.append((UsageError, exc, [f"UsageError: {exc}"]))

    def _may_end_the_run(self, error: BaseException) -> bool:
        """Surely once the cell's code runs, whose result knows its error; before that (a syntax error) the end decides."""
        if not self._is_running or self._nested:
            return False
        result = self.displayhook.exec_result
        return result is None or error is result.error_in_exec or error is result.error_before_exec

    def _warn(self, message: Any, category: Any = None, stacklevel: int = 1, **options: Any) -> None:
        """In the place of `warn` in IPython's shell: how to exit is told by the notebook's own, which gets the SystemExit too."""
        if not (self._is_running and not self._nested and str(message).startswith("To exit: use")):
            warnings.warn(message, category, stacklevel + 1, **options)

    def prune(self, execution_count: int, sent: Container[str] = ()) -> None:
        """Forgets what the run displayed: `_`, `Out` and the like are the notebook's, which sends them when they are read.

        A `_` that the notebook has sent, or the user has assigned, is an ordinary name and stays.
        """
        names = ("_", "__", "___", "_oh", "Out", *(f"_{number}" for number in self.history_manager.output_hist))
        for name in names:
            hidden = self.user_ns_hidden.pop(name, self)
            if hidden is not self and name not in sent and self.user_ns.get(name, self) is hidden:
                del self.user_ns[name]
        self.history_manager.output_hist.clear()
        for records in ("outputs", "output_hist_reprs", "exceptions"):
            getattr(self.history_manager, records, {}).pop(execution_count, None)
        # IPython binds a result to `_` when that is what it was bound to before: never what the notebook has sent, equal or not
        self.displayhook._, self.displayhook.__, self.displayhook.___ = _Blank(), _Blank(), _Blank()
        self.displayhook.exec_result = None
        self.last_execution_result = None


# Libraries ask by the name of its class what shell they are in: rich shows HTML in a ZMQInteractiveShell alone.
for _name in ("__name__", "__qualname__", "__module__"):
    setattr(RemoteShell, _name, getattr(ZMQInteractiveShell, _name))


class _Blank(str):
    """Equal to what `_` is before the first result, and no other object."""


def _already_remote(line: str, cell: str | None = None) -> None:
    """Registered as %remote and %%remote in the remote kernel."""
    raise UsageError(_INSIDE.format(where="the target"))


class RemoteKernel(IPythonKernel):
    """A kernel whose `__main__` shows its namespace, and whose input() may be answered over the direct link."""

    shell_class = Type(RemoteShell)
    compiler_class = Type(RemoteCompiler)
    shell: Any
    session: Any

    def __init__(self, **kwargs: Any) -> None:
        self.link: Any = None
        namespace = Namespace()
        super().__init__(**{**kwargs, "user_ns": namespace, "user_module": MainModule(namespace)})
        shell = self.shell
        shell.user_ns_hidden.update({name: namespace[name] for name in ("_", "__", "___") if name in namespace})
        for name in ("In", "_ih"):  # the notebook's, which is asked for them
            namespace.pop(name, None)
            shell.user_ns_hidden.pop(name, None)
        namespace.own = shell.user_ns_hidden
        shell.prune(0)

    def pre_handler_hook(self) -> None:
        """ipykernel lets SIGINT raise from here on, over zmq: our own handlers say themselves when it may."""
        if str(self.get_parent("shell")["header"]["msg_type"]).startswith("farcell_"):
            self.saved_sigint_handler = signal.getsignal(signal.SIGINT)
        else:
            super().pre_handler_hook()

    def _input_request(self, prompt: str, ident: Any, parent: Any, password: bool = False) -> str:
        """Called by raw_input and getpass of ipykernel, on the main thread or on a thread of the user's."""
        if self.link is None or not self.link.is_ident(ident):
            answer: str = super()._input_request(prompt, ident, parent, password=password)
            return answer
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            answer = self.link.ask_input(prompt, password, parent)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Interrupted by user") from None  # as ipykernel words it
        if answer == "\x04":
            raise EOFError
        return answer

    @property
    def cell_lock(self) -> asyncio.Lock:
        """Held while one shell request is handled; ipykernel 7's own lock."""
        lock: asyncio.Lock = self._main_asyncio_lock
        return lock
