"""What this session and its runs have used, for the ledger of the notebook.

The host knows it best, and outlives notebooks: it measures each run, keeps the records until a notebook says that its ledger has
them, and writes them to a file in the cache folder, which outlives the host too. Whoever has the next session on this machine
gets the records that a dead host or a dead notebook left (`left`). A record may so be told more than once, always under the
same id.

    <cache>/usage/<session>.jsonl    a JSON object a line, {"session": {}}, {"job": {}} or {"run": {}}; of one id the last holds

A living host has its file locked. Nothing here is done while a cell waits: lines are written FLUSH_S later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ProtocolError
from .protocol.messages import CELL_KEY, Message, byte_count, decode_object, encode_json

FOLDER = "usage"
FLUSH_S = 1.0
KEPT_RUNS = 1000
"""Beyond it the oldest are let go of: nobody keeps a ledger here."""
RECENT_RUNS = 200
KEPT_FILES = 200
NAME_CHARS = 200
MOVED_S = 20.0
"""So long a run that is over is told of to whoever looks on."""
UNLOCKED_S = 7 * 24 * 3600.0
"""Where files cannot be locked, a host that has written nothing for so long is taken to be no more."""
KEPT_S = 180 * 24 * 3600.0
_LARGE_BYTES = 1 << 20
_MOVED = 16
_BULK = b'"farcell_bulk"'

log = logging.getLogger("farcell.host")

Record = dict[str, Any]


@dataclass
class _Going:
    """The run that goes on."""

    run: str
    started: float
    began: float
    sent_bytes: int
    cell: str | None = None
    request: str | None = None
    said_by: str | None = None
    """The username in the message, which its sender chose."""


@dataclass(frozen=True)
class Moved:
    """A run that was over a moment ago, and what travelled for it. `request` is the id of the notebook's own message."""

    run: str
    cell: str | None
    request: str | None
    sent_bytes: int
    received_bytes: int | None
    ended: float

    def as_fields(self) -> Record:
        return {name: value for name, value in vars(self).items() if name != "ended"}


class Accounts:
    """All methods are for the loop's thread; those that read or write files say so."""

    def __init__(
        self,
        folder: Path,
        loop: asyncio.AbstractEventLoop | None = None,
        gpus_used: Callable[[], int] = lambda: 0,
        job: Record | None = None,
        owns_job: bool = False,
        **session: Any,
    ) -> None:
        """`session` has what is known of it from the start: target, notebook, price_per_hour; `job` is the scheduler's that it is
        in, which ends with it when it `owns_job`."""
        self.session = uuid.uuid4().hex
        self._fields = {"host": platform.node(), "started": time.time(), "job_id": job["id"] if job else None, **session}
        self._job, self._owns_job = job, owns_job
        self._gpus_used, self._loop = gpus_used, loop
        self._file = _File(folder / f"{self.session}.jsonl")
        self._folder = folder
        self._going: _Going | None = None
        self._moved: deque[Moved] = deque(maxlen=_MOVED)
        self._runs: dict[str, Record] = {}
        self._recent: deque[Record] = deque(maxlen=RECENT_RUNS)
        """Also those that a ledger has: a broker counts for itself."""
        self._unread: dict[str, bytes] = {}
        """The replies' contents of runs whose state has not been looked at."""
        self._unwritten: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    # -- on the run path

    def sent(self, run: str | None, message: Message) -> None:
        """Goes to the kernel; with `run` it begins one."""
        if run is not None:
            header = message.header
            cell, said_by = header.get(CELL_KEY), header.get("username")
            self._going = _Going(
                run,
                time.time(),
                time.monotonic(),
                _size(message),
                cell=None if cell is None else str(cell),
                request=header.get("msg_id"),
                said_by=str(said_by)[:NAME_CHARS] if said_by else None,
            )
        elif self._going is not None:
            self._going.sent_bytes += _size(message)

    @property
    def run_started(self) -> float | None:
        """When the run in progress began, in seconds since the epoch."""
        return None if self._going is None else self._going.started

    @property
    def sent_bytes(self) -> int:
        """For the run in progress, so far."""
        return 0 if self._going is None else self._going.sent_bytes

    def moved(self) -> list[Moved]:
        """Runs that were over a moment ago, the last one at the end: for whoever looks on and has no ledger to ask."""
        since = time.monotonic() - MOVED_S
        return [each for each in self._moved if each.ended > since]

    def ended(self, run: str, reply: Message, peak: Record | None = None) -> None:
        going = self._end(run)
        if going is None:
            return
        content, received = reply.parts[3], _size(reply)
        record = self._record(going, received_bytes=received, **_of_gpus(peak))
        self._moved.append(Moved(run, going.cell, going.request, going.sent_bytes, received, time.monotonic()))
        if len(content) < _LARGE_BYTES:
            self._unread[run] = content
        else:
            record["state"] = _state(content)
        self._keep(record)

    def broken(self, state: str) -> None:
        """The kernel ended in the middle of a run, if there was one."""
        if self._going is not None:
            going, self._going = self._going, None
            self._keep(self._record(going, state=state))
            self._moved.append(Moved(going.run, going.cell, going.request, going.sent_bytes, None, time.monotonic()))

    def _end(self, run: str) -> _Going | None:
        going, self._going = self._going, None
        return going if going is not None and going.run == run else None

    def _record(self, going: _Going, **fields: Any) -> Record:
        seconds = time.monotonic() - going.began
        return {
            "id": going.run,
            "session_id": self.session,
            "started": going.started,
            "ended": going.started + seconds,
            "seconds": seconds,
            "sent_bytes": going.sent_bytes,
            **({} if going.cell is None else {"cell": going.cell}),
            **({} if going.said_by is None else {"said_by": going.said_by}),
            **fields,
        }

    def _keep(self, record: Record) -> None:
        self._runs[record["id"]] = record
        self._recent.append(record)
        self._unwritten.append(record["id"])
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(FLUSH_S, self.flush)

    # -- for the notebook

    def records(
        self, peak: Record | None = None, ended: float | None = None, reason: str | None = None, recent: bool = False
    ) -> Record:
        """The session as of now, and its runs that no ledger is known to have, or with `recent` the last RECENT_RUNS in any case;
        the one that goes on has its `peak` so far."""
        self._read_states()
        now = time.time()
        runs = list(self._recent if recent else self._runs.values())
        if self._going is not None:
            going = self._record(self._going, state="running", **_of_gpus(peak))
            del going["ended"]
            runs.append(going)
        return {**self._allocation(ended, reason), "runs": [{**run, "as_of": now} for run in runs]}

    def taken(self, runs: list[str]) -> None:
        """A ledger has these. Writes the file."""
        for run in runs:
            self._runs.pop(run, None)
        self.flush(anew=True)

    def left(self) -> list[Record]:
        """What hosts have left that live no more. Reads files; may be called from another thread."""
        return [records for path in _files(self._folder) if (records := _read_left(path)) is not None]

    def drop_left(self, sessions: list[str]) -> None:
        """A ledger has theirs. Removes files."""
        for path in _files(self._folder):
            if path.stem in sessions and _read_left(path) is not None:
                path.unlink(missing_ok=True)

    def _allocation(self, ended: float | None = None, reason: str | None = None) -> dict[str, Record]:
        """The session, and the job that it is in."""
        now = time.time()
        session = {"id": self.session, "as_of": now, **self._fields, "gpus": self._gpus_used() or None, "ended": ended}
        found = {"session": session}
        if self._job is not None:
            own: Record = {}
            if self._owns_job:
                state = "running" if ended is None else "ended"
                own = {"started": self._fields["started"], "ended": ended, "state": state, "reason": reason}
            found["job"] = {"as_of": now, "target": self._fields.get("target"), **own, **self._job}
        return {name: {key: value for key, value in each.items() if value is not None} for name, each in found.items()}

    def _lines(self, ended: float | None = None, reason: str | None = None) -> list[Record]:
        return [{name: record} for name, record in self._allocation(ended, reason).items()]

    def _read_states(self) -> None:
        for run, content in self._unread.items():
            if run in self._runs:
                self._runs[run]["state"] = _state(content)
        self._unread.clear()

    # -- the file

    def begin(self) -> None:
        """Puts the session on record, and clears away what nobody has come for in half a year."""
        clear(self._folder)
        self._file.append(self._lines())

    def flush(self, anew: bool = False) -> None:
        """Writes what is new, or all that is left of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._read_states()
        too_many = len(self._runs) > KEPT_RUNS
        for run in list(self._runs)[: max(0, len(self._runs) - KEPT_RUNS // 2)] if too_many else ():
            del self._runs[run]
        new = [{"run": self._runs[run]} for run in self._unwritten if run in self._runs]
        self._unwritten.clear()
        if anew or too_many:
            self._file.replace([*self._lines(), *({"run": run} for run in self._runs.values())])
        else:
            self._file.append([*self._lines(), *new])

    def close(self, is_recorded: bool = False, reason: str | None = None) -> None:
        """The session has ended, `reason` says why; `is_recorded`: a ledger has it all, and nothing is left here."""
        self.broken("ended")
        if is_recorded:
            self._file.remove()
        else:
            self.flush()
            self._file.append(self._lines(time.time(), reason))
        self._file.close()


def job_of(environment: Mapping[str, str]) -> Record | None:
    """The scheduler's job that this process is in, with the GPUs that it holds; sbatch(1), OUTPUT ENVIRONMENT VARIABLES.

    A job that was requeued is another allocation, and clusters count alike: the id has both.
    """
    job, cluster = environment.get("SLURM_JOB_ID"), environment.get("SLURM_CLUSTER_NAME")
    if not job:
        return None
    found: Record = {
        "id": f"{cluster}:{job}" if cluster else job,
        "scheduler_id": job,
        "started": _number(environment.get("SLURM_JOB_START_TIME")),
    }
    found["id"] += f".{environment.get('SLURM_RESTART_COUNT') or 0}"
    gpus, nodes = _number(environment.get("SLURM_GPUS_ON_NODE")), _number(environment.get("SLURM_JOB_NUM_NODES"))
    found["gpus"] = None if gpus is None else int(gpus * (nodes or 1))
    return {name: value for name, value in found.items() if value is not None}


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None


def _size(message: Message) -> int:
    """Its buffers, wherever they are, and its parts."""
    size = sum(map(len, message.parts)) + sum(map(byte_count, message.buffers))
    if _BULK in message.parts[2]:
        size += sum(int(entry["size"]) for entry in message.metadata.get("farcell_bulk", ()))
    return size


def _state(content: bytes) -> str:
    try:
        return str(decode_object(content, "a reply").get("status"))
    except ProtocolError:
        return "unknown"


def _of_gpus(peak: Record | None) -> Record:
    if peak is None:
        return {}
    mean = peak["utilisation_mean_percent"]
    found = {"peak_gpu_bytes": peak["memory_bytes"], "gpu_utilisation": None if mean is None else mean / 100}
    return {name: value for name, value in found.items() if value is not None}


class _File:
    """Made with its first line. Where nothing can be written, the records are in memory alone, which is said once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._is_broken = False

    def append(self, lines: list[Record]) -> None:
        self._write(lines, from_start=False)

    def replace(self, lines: list[Record]) -> None:
        """In place, since the lock is on this file; a host that is killed meanwhile leaves the end of the old lines at worst."""
        self._write(lines, from_start=True)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, lines: list[Record], from_start: bool) -> None:
        if self._is_broken:
            return
        try:
            if self._fd is None:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                _lock(self._fd)
            data = b"".join(encode_json(line) + b"\n" for line in lines)
            if from_start:
                os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, data, os.fstat(self._fd).st_size)
        except OSError as error:
            self._is_broken = True
            log.warning("%s cannot be written (%s): a host that is killed loses what its runs have used.", self._path, error)


def _lock(fd: int) -> bool | None:
    """Whether nobody else has it; None on a filesystem without locks."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def living(folder: Path) -> set[str]:
    """Sessions whose hosts live and have their files locked, on this machine or, on a shared disk, on another. Reads files."""
    found = set()
    for path in _files(folder):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if _lock(file.fileno()) is False:
                found.add(path.stem)
    return found


def _files(folder: Path) -> list[Path]:
    """Oldest first."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.glob("*.jsonl"):
            with contextlib.suppress(FileNotFoundError):  # another host has removed it
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def clear(folder: Path) -> None:
    """Where no ledger is kept, records are not kept for ever."""
    files = _files(folder)
    old = [path for path in files if time.time() - _changed(path) > KEPT_S]
    for path in {*old, *files[: max(0, len(files) - KEPT_FILES)]}:
        if _read_left(path) is not None:
            path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _read_left(path: Path) -> Record | None:
    """The records of a file whose host lives no more. A session that nobody saw end has lived until the last line was written."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        changed = os.fstat(fd).st_mtime
        is_free = _lock(fd)
        if is_free is False or (is_free is None and time.time() - changed < UNLOCKED_S):
            return None
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read()
    finally:
        os.close(fd)
    found: dict[str, Record] = {"session": {"id": path.stem, "as_of": changed}}
    runs: dict[str, Record] = {}
    for line in _lines(data):
        for name in ("session", "job"):
            if isinstance(line.get(name), dict):
                found[name] = line[name]
        if isinstance(line.get("run"), dict) and "id" in line["run"]:
            runs[str(line["run"]["id"])] = {"as_of": changed, **line["run"]}
    return {**found, "runs": list(runs.values())}


def _lines(data: bytes) -> Iterator[Record]:
    """All that are whole: the last one of a host that was killed may not be."""
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found
