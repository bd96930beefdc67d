"""Starts the remote kernel: `python -m farcell_host.inkernel.launch -f kernel.json [--direct PATH]`.

A real ipykernel; different are its namespace, its streams and who watches over it. It ends with its parent, the
kernel host, and so does its process group; children that have a session of their own are spared.
"""

# mypy: disable-error-code="no-untyped-call"
# ipykernel and IPython annotate only some of what is called here.

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import IPython
from ipykernel._version import __version__ as ipykernel_version
from ipykernel.kernelapp import IPKernelApp
from tornado.ioloop import IOLoop
from traitlets import Type, default
from traitlets.config import Config

from .. import bulk, capabilities, runtime
from ..ambient import Ambient
from ..state import BOOK, Replica
from ..state.magics import Magics
from . import handlers, imports, selftest
from .direct import DirectServer
from .exchange import Exchange
from .execution import CELL_CODE, Runner
from .interrupts import InterruptGuard
from .shell import RemoteKernel
from .streams import LinkSession

_PARENT_POLL_S = 1.0  # only where there is no pidfd


class RemoteKernelApp(IPKernelApp):
    """IPKernelApp with our kernel, session and streams."""

    name = "farcell-kernel"
    kernel_class: Any = Type(RemoteKernel, klass="ipykernel.kernelbase.Kernel")

    @default("session")
    def _session_default(self) -> LinkSession:
        return LinkSession(parent=self)

    @default("outstream_class")
    def _outstream_class_default(self) -> str:
        return "farcell_host.inkernel.streams.LinkStream"

    def init_poller(self) -> None:
        """ipykernel's looks once a second, and leaves the process group behind."""
        watch_parent(int(os.environ.get("JPY_PARENT_PID") or os.getppid()))


def watch_parent(pid: int) -> None:
    """Ends this process, and its group when it leads one, as soon as process `pid` has ended."""
    threading.Thread(target=_end_with, args=(pid,), name="farcell-parent", daemon=True).start()


def _end_with(pid: int) -> None:
    fd = capabilities.open_process(pid)
    if os.getppid() == pid and fd is not None:
        import select

        watch = select.poll()
        watch.register(fd, select.POLLIN)
        watch.poll()
    while os.getppid() == pid:
        time.sleep(_PARENT_POLL_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


async def _serve(kernel: RemoteKernel, runner: Runner, server: DirectServer | None) -> None:
    """Runs on the kernel's loop before any request."""
    runner.background.watch(asyncio.get_running_loop())
    if server is None:
        return
    reason = selftest.reason_against(kernel) or await selftest.reason_against_running(runner)
    ready: dict[str, Any] = {
        "direct": reason is None,
        "python": ".".join(map(str, sys.version_info[:3])),
        "ipykernel": ipykernel_version,
        "ipython": IPython.__version__,
        "pid": os.getpid(),
    }
    if reason is not None:
        ready["reason"] = reason
        kernel.log.warning("farcell: no direct link: %s", reason)
    server.start(asyncio.get_running_loop(), ready)


def _interrupted_run(folder: Path) -> str | None:
    try:
        return (folder / runtime.INTERRUPTED_FILE).read_text()
    except OSError:
        return None


def main(argv: list[str] | None = None) -> None:
    """Parses `--direct PATH` and leaves the rest to ipykernel."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    path = None
    if "--direct" in arguments:
        at = arguments.index("--direct")
        path = arguments[at + 1]
        del arguments[at : at + 2]
    # Into the log: descriptor 2 itself is read by a thread of ours, which dies with us.
    faulthandler.enable(os.dup(2))
    # Libraries look for the name of the stock application to learn that they are in a notebook.
    app = RemoteKernelApp.instance(config=Config({"IPKernelApp": {}}))
    app.initialize(arguments)
    kernel: RemoteKernel = app.kernel
    guard = InterruptGuard(CELL_CODE, partial(_interrupted_run, Path(app.abs_connection_file).parent))
    guard.listen()
    if os.environ.pop(runtime.IN_A_JOB, None):
        # Schedulers send it to all processes of a job; the host decides what comes then. A handler, since children inherit none.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
    namespace = kernel.shell.user_ns
    ambient, magics = Ambient(is_notebook=False), Magics()
    replica = Replica(namespace, side="remote", hashes=list(bulk.available_hashes()), ambient=ambient, magics=magics)
    BOOK.cells = kernel.shell.compile._filename_map
    runner = Runner(kernel, Exchange(namespace, replica), guard)
    handlers.register(kernel, runner)
    imports.install(runner.find_module)
    server = DirectServer(kernel, runner, guard, path) if path is not None else None
    IOLoop.current().add_callback(_serve, kernel, runner, server)
    app.start()


if __name__ == "__main__":
    from farcell_host.inkernel.launch import main as importable_main  # a second copy of the classes would be made here

    importable_main()
