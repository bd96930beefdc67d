"""Before the direct link is offered: are the private names of ipykernel and IPython that it leans on as it expects them?

They are written down here once. Where one is missing or has another signature, the kernel serves over zmq and says
why.
"""

# mypy: disable-error-code="no-untyped-call"
# ipykernel and IPython annotate only some of what is called here.

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from typing import Any

from ipykernel._version import __version__ as ipykernel_version
from ipykernel.iostream import IOPubThread, OutStream
from ipykernel.kernelbase import Kernel
from IPython.core.interactiveshell import InteractiveShell

from .exchange import Request
from .execution import Runner
from .shell import RemoteKernel
from .streams import LinkStream

_KERNEL_NAMES = (
    "_main_asyncio_lock",
    "_forward_input",
    "_restore_input",
)
_STREAM_NAMES = (
    "_buffers",
    "_flush",
    "_schedule_flush",
    "_is_master_process",
    "_io_loop",
    "pub_thread",
    "flush_interval",
)
_SIGNATURES: tuple[tuple[type, str, set[str]], ...] = (
    (IOPubThread, "_really_send", {"msg"}),
    (OutStream, "_flush", set()),
    (Kernel, "_input_request", {"prompt", "ident", "parent", "password"}),
    (Kernel, "set_parent", {"ident", "parent", "channel"}),
    (
        InteractiveShell,
        "run_cell_async",
        {"raw_cell", "store_history", "silent", "transformed_cell", "preprocessing_exc_tuple"},
    ),
    (InteractiveShell, "should_run_async", {"raw_cell", "transformed_cell", "preprocessing_exc_tuple"}),
    (InteractiveShell, "run_code", {"code_obj", "result"}),
)


def reason_against(kernel: RemoteKernel) -> str | None:
    """Why the direct link cannot be used, or None."""
    if os.environ.get("FARCELL_DIRECT") == "0":
        return "FARCELL_DIRECT=0 is set"
    if int(ipykernel_version.partition(".")[0]) < 7:
        return f"ipykernel {ipykernel_version} has no lock around its requests"
    for owner, names in ((kernel, _KERNEL_NAMES), (sys.stdout, _STREAM_NAMES)):
        for name in names:
            if not hasattr(owner, name):
                return f"{type(owner).__name__} of ipykernel {ipykernel_version} has no {name}"
    if not isinstance(sys.stdout, LinkStream) or not isinstance(kernel._main_asyncio_lock, asyncio.Lock):
        return f"ipykernel {ipykernel_version} makes streams or a lock of another kind"
    for owner, name, parameters in _SIGNATURES:
        missing = parameters - set(inspect.signature(getattr(owner, name)).parameters)
        if missing:
            return f"{owner.__name__}.{name} has no parameter {', '.join(sorted(missing))}"
    return None


class _NoNotebook:
    """The channel of the silent run: there is nobody to ask."""

    ident = b""

    def send_fetch(self, content: dict[str, Any], parent: dict[str, Any]) -> None:
        raise RuntimeError("nothing to fetch")

    def wait_fetch_reply(self, timeout_s: float | None) -> Request | None:
        return None


async def reason_against_running(runner: Runner) -> str | None:
    """Runs one silent cell, which also warms up what the first cell would wait for."""
    content: dict[str, Any] = {"run": None, "code": "1 + 1", "execution_count": 0, "silent": True, "names": []}
    try:
        reply = await runner.run(Request({"msg_id": "selftest"}, content), _NoNotebook())
    except Exception as error:
        return f"a silent run failed: {type(error).__name__}: {error}"
    if reply.content["status"] != "ok":
        return f"a silent run failed: {reply.content.get('ename')}: {reply.content.get('evalue')}"
    return None
