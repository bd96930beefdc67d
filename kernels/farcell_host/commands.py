"""The commands of `python -m farcell_host`; results are JSON lines on stdout, what went wrong is on stderr."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import leased, runtime
from .errors import FarcellHostError

if TYPE_CHECKING:
    from .host import HostOptions

STOP_TIMEOUT_S = 8.0
LAUNCH_TIMEOUT_S = 60.0
_ASK_TIMEOUT_S = 5.0
SILENT = "silent"
OTHER_VERSION = "other version"
"""The state of a host that can be found and ended, and not talked to."""


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except FarcellHostError as error:
        print(f"farcell: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m farcell_host", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    launch = commands.add_parser("launch", help="start a kernel host and its remote kernel; prints where it listens")
    launch.add_argument("--runtime", required=True, type=Path, help="folder of this session, made with mode 0700")
    _host_arguments(launch)
    launch.add_argument("--foreground", action="store_true", help="serve in this process, as a batch job wants it")
    launch.set_defaults(command=_launch)
    attach = commands.add_parser("attach", help="bridge stdin and stdout to a kernel host")
    attach.add_argument("--runtime", required=True, type=Path)
    attach.add_argument("--mark", default=None, help="says `MARK run` first, once the host is there")
    attach.set_defaults(command=_attach)
    batch = commands.add_parser("batch", help="the kernel host as a scheduler's job, which says in a shared folder where it is")
    batch.add_argument("--session", required=True, type=Path, help="the session's folder, seen by all nodes")
    _host_arguments(batch)
    batch.set_defaults(command=_batch)
    reach = commands.add_parser("reach", help="bridge stdin and stdout to the door of a kernel host in a job")
    reach.add_argument("--identity", required=True, type=Path, help="certificate and key of the session, a PEM file")
    reach.add_argument("--to", required=True, metavar="HOST:PORT", help="or the path of a Unix socket that leads there")
    reach.add_argument("--mark", default="", help="says `MARK run` first, once both sides know each other")
    reach.set_defaults(command=_reach)
    trunk = commands.add_parser("trunk", help="bridge stdin and stdout to many kernel hosts, each a channel")
    trunk.add_argument("--mark", default="", help="says `MARK run` first")
    trunk.add_argument("--hosts", action="store_true", help="tell which hosts live here, and whenever that changes")
    trunk.set_defaults(command=_trunk)
    status = commands.add_parser("status", help="one JSON line for each live kernel host")
    status.add_argument("--runtime", type=Path, default=None, help="this session only")
    status.set_defaults(command=_status)
    stop = commands.add_parser("stop", help="end a session: the host, its kernel, its folder")
    stop.add_argument("--runtime", required=True, type=Path, help="its folder, or the folder's name")
    stop.add_argument("--lease", default=None, metavar="ID", help="also what it has started, as the environment says")
    stop.set_defaults(command=_stop)
    gpus = commands.add_parser("gpus", help="one JSON line about this machine's GPUs and the processes on them")
    gpus.set_defaults(command=_gpus)
    commands.add_parser("environment", add_help=False, help="find or make a Python that can run a kernel (bootstrap/command.py)")
    leftovers = commands.add_parser("leftovers", help="one JSON line for each thing that was left here, or that was removed")
    leftovers.add_argument(
        "--cache", type=Path, default=None, help="where environments and sent data are (default: the usual place)"
    )
    leftovers.add_argument("--state", type=Path, default=None, help="where sessions of jobs are")
    leftovers.add_argument("--current", default="", metavar="DIGEST", help="the kernel host that is sent now")
    leftovers.add_argument("--jobs", default="", metavar="NAMES", help="this user's jobs, separated by blanks")
    leftovers.add_argument("--remove", nargs="+", default=None, metavar="PATH", help="remove these, as far as nothing uses them")
    leftovers.set_defaults(command=_leftovers)
    zipapp = commands.add_parser("zipapp", help="write this package as one file that any Python can run")
    zipapp.add_argument("target", type=Path)
    zipapp.set_defaults(command=_zipapp)
    return parser


def _host_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", default=sys.executable, help="the remote kernel's Python (default: this one)")
    parser.add_argument("--cwd", default=None, help="the remote kernel's working folder")
    parser.add_argument("--idle-timeout", type=float, default=3600.0, metavar="S", help="end after S seconds without work")
    parser.add_argument("--keep", type=float, default=600.0, metavar="S", help="wait S seconds for a lost notebook")
    parser.add_argument("--first-driver", type=float, default=600.0, metavar="S", help="wait S seconds for a first notebook")
    parser.add_argument("--journal-mib", type=float, default=512.0, metavar="MIB", help="disk quota for output not yet read")
    parser.add_argument("--chunks-mib", type=float, default=4096.0, metavar="MIB", help="disk quota of the chunk store")
    parser.add_argument("--notebook", default=None, help="which notebook this session belongs to")
    parser.add_argument("--target", default=None, help="what that notebook calls this place")
    parser.add_argument("--price-per-hour", type=float, default=None, metavar="P", help="of this session, for the ledger")
    parser.add_argument("--save-grace", type=float, default=10.0, metavar="S", help="how long an interrupted run may take to end")
    parser.add_argument("--zmq", action="store_true", help="talk to the kernel over zmq only")


def _launch(options: argparse.Namespace) -> int:
    if not hasattr(os, "fork"):
        raise FarcellHostError("A kernel host needs Linux or macOS; on Windows use WSL or a remote target.")
    folder: Path = options.runtime.absolute()
    runtime.check_length(folder)
    runtime.secure(folder)
    if _is_there(folder):
        return 0
    if options.foreground:
        _serve(options, folder, lambda host: print(json.dumps(host.info()), flush=True))
        return 0
    try:
        return _fork(options, folder)
    except FarcellHostError:
        if _is_there(folder):  # another launch was first
            return 0
        raise


def _is_there(folder: Path) -> bool:
    """Prints where the host of this folder listens, once it does; False where there is none."""
    deadline = time.monotonic() + LAUNCH_TIMEOUT_S
    while runtime.is_taken(folder) and time.monotonic() < deadline:
        living = runtime.find_host(folder)
        if living is not None:
            print(json.dumps({**living.fields, "already": True}), flush=True)
            return True
        time.sleep(0.02)  # it has the lock and begins
    return False


def _fork(options: argparse.Namespace, folder: Path) -> int:
    """The child serves in a session of its own; this process prints what it says and ends."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            os.setsid()
            if os.fork() == 0:  # never a session leader that could get a terminal; and nobody's zombie
                _detach(folder)
                _serve(options, folder, lambda host: _tell(writing, host.info()))
            code = 0
        except BaseException as error:
            _report(writing, error)
        finally:
            os._exit(code)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        line = answer.readline()
    if not line:
        log = folder / runtime.HOST_LOG
        tail = log.read_text(errors="replace").splitlines()[-10:] if log.exists() else []
        raise FarcellHostError("The kernel host ended before it listened.\n" + "\n".join(tail))
    fields = json.loads(line)
    if "error" in fields:
        raise FarcellHostError(fields["error"])
    print(line, end="", flush=True)
    return 0


def _tell(writing: int, info: dict[str, Any]) -> None:
    os.write(writing, json.dumps(info).encode() + b"\n")
    os.close(writing)


def _report(writing: int, error: BaseException) -> None:
    import traceback

    traceback.print_exc()
    with contextlib.suppress(OSError):  # it has been told before that all is well
        os.write(writing, json.dumps({"error": f"{error}"}).encode() + b"\n")


def _detach(folder: Path) -> None:
    """Nothing of the caller's is kept open: a host that held its stdout would hang whoever reads that to its end."""
    log = os.open(folder / runtime.HOST_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)


def _serve(
    options: argparse.Namespace, folder: Path, on_listening: Any, places: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """The kernel starts first: the host imports while the kernel does. `places`: paths among the host's options."""
    os.umask(0o077)
    lock = runtime.HostLock(folder)
    from .kernelprocess import KernelProcess

    process = KernelProcess(folder, options.python, options.cwd, direct=not options.zmq)
    try:
        import logging

        from .host import serve

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        serve(_host_options(options, folder, places), lock, process, on_listening)
    finally:
        process.kill()


def _host_options(options: argparse.Namespace, folder: Path, places: Mapping[str, Path]) -> HostOptions:
    from .host import HostOptions

    return HostOptions(
        runtime=folder,
        python=options.python,
        cwd=options.cwd,
        idle_timeout_s=options.idle_timeout,
        keep_s=options.keep,
        first_driver_s=options.first_driver,
        journal_bytes=int(options.journal_mib * 2**20),
        chunk_bytes=int(options.chunks_mib * 2**20),
        notebook=options.notebook,
        target=options.target,
        price_per_hour=options.price_per_hour,
        zmq_only=options.zmq,
        is_job="journal" in places,
        save_grace_s=options.save_grace,
        **places,
    )


def _attach(options: argparse.Namespace) -> int:
    from .attach import attach

    return attach(str(options.runtime), mark=options.mark)


def _batch(options: argparse.Namespace) -> int:
    from .batch import serve_batch

    return serve_batch(options.session, lambda folder, places, on_listening: _serve(options, folder, on_listening, places))


def _reach(options: argparse.Namespace) -> int:
    from .door import reach

    return reach(options.identity, options.to, mark=options.mark)


def _trunk(options: argparse.Namespace) -> int:
    from .trunk import trunk

    return trunk(options.mark, options.hosts)


def _status(options: argparse.Namespace) -> int:
    if options.runtime is not None:
        host = runtime.find_host(options.runtime)
        hosts = [] if host is None else [host]
    else:
        hosts = list(runtime.live_hosts())
    for host in hosts:
        print(json.dumps(ask_status(host)), flush=True)
    return 0 if hosts or options.runtime is None else 1


def ask_status(host: runtime.HostInfo) -> dict[str, Any]:
    """What the host says about itself, as an observer asks; what its folder says when it does not answer in time, or speaks
    another protocol (`OTHER_VERSION`)."""
    import platform
    import socket

    from .errors import ProtocolError
    from .protocol.client import Client, Hello
    from .protocol.events import Refused, Responded

    client = Client(Hello("status", "observer", platform.python_version(), sys.platform, cursor=1 << 62))
    client.connect()
    client.request("status")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            deadline = time.monotonic() + _ASK_TIMEOUT_S
            sock.settimeout(_ASK_TIMEOUT_S)
            sock.connect(host.socket)
            while (left := deadline - time.monotonic()) > 0:  # for the answer: anything else that comes is none
                sock.settimeout(left)
                for outgoing in client.take():
                    sock.sendall(b"".join(outgoing.buffers))
                data = sock.recv(1 << 16)
                if not data:
                    return {**host.fields, "state": SILENT}
                for event in client.receive(data):
                    if isinstance(event, Responded):
                        return event.fields
                    if isinstance(event, Refused):
                        state = OTHER_VERSION if event.code == "version" else SILENT
                        return {**host.fields, "state": state, "message": event.message}
            return {**host.fields, "state": SILENT, "message": "it did not say in time"}
    except ProtocolError as error:
        return {**host.fields, "state": OTHER_VERSION, "message": str(error)}
    except OSError as error:
        return {**host.fields, "state": SILENT, "message": str(error)}


def _stop(options: argparse.Namespace) -> int:
    """Safe to call twice, and after a crash: the kernel ends with its host, the folder is removed here."""
    folder = runtime.named(options.runtime)
    host = runtime.find_host(folder)
    if host is not None:
        _end(host, folder)
    if folder.exists() and (folder / runtime.HOST_FILE).exists():
        shutil.rmtree(folder, ignore_errors=True)
    if options.lease is None or not leased.end(options.lease, STOP_TIMEOUT_S):
        return 0
    print(f"farcell: processes of lease {options.lease} do not end", file=sys.stderr)
    return 1


def _gpus(options: argparse.Namespace) -> int:
    from .gpus import Gpus

    gpus = Gpus()
    try:
        print(json.dumps(gpus.read().as_fields()), flush=True)
    finally:
        gpus.close()
    return 0


def _end(host: runtime.HostInfo, folder: Path) -> None:
    try:
        os.kill(host.pid, signal.SIGTERM)
        if _gone(folder, STOP_TIMEOUT_S):
            return
        os.kill(host.pid, signal.SIGKILL)
        _gone(folder, 1.0)
    except ProcessLookupError:
        return


def _gone(folder: Path, timeout_s: float) -> bool:
    """Whether the host lets go of its lock within the time."""
    deadline = time.monotonic() + timeout_s
    while runtime.find_host(folder) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _leftovers(options: argparse.Namespace) -> int:
    from . import chunkstore, leftovers

    cache = options.cache or chunkstore.cache_folder()
    found = leftovers.Leftovers(cache.absolute(), options.state, options.current, options.jobs.split())
    leftovers.write(found.found() if options.remove is None else found.remove(options.remove))
    return 0


def _zipapp(options: argparse.Namespace) -> int:
    from .bundle import write_zipapp

    write_zipapp(options.target)
    print(json.dumps({"zipapp": str(options.target), "bytes": options.target.stat().st_size}))
    return 0
