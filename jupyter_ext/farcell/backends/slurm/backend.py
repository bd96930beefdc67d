"""The slurm backend: the kernel host is the batch step of a job, submitted here or on a login node that ssh reaches.

Its stream is TCP with TLS from the login node to the job's node, which ssh forwards as it forwards sockets, so that nothing of
ours runs on the login node. Where nodes cannot be reached so, the stream is a second step's (srun --overlap). What becomes of
a job is what squeue says of it, never an exit code of srun, which may be 0 when the node is gone.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import shlex
import sys
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from farcell_host import runtime
from farcell_host.journal import in_order
from farcell_host.reasons import Reason

from ...deaths import Death, of_job, of_refusal, of_session, of_text
from ...errors import TargetUnavailable
from ..base import Allocation, Ending, JobState, LaunchOptions, Opened, Tell, untold
from ..bootstrap import Bootstrap
from ..local import launch_flags, new_session
from ..scripts import ERROR, HOST
from ..shell import LocalShell, Shell, bridged, host_zipapp, new_mark
from ..shipment import supplied
from ..ssh.backend import secret_values
from ..ssh.client import LoginRefused, SshClient
from ..ssh.login import Login
from . import scripts
from .folders import FORGOTTEN_S, Folder, is_litter, parse_folders, status_of
from .identity import new_identity
from .jobs import Job, parse_sbatch, sbatch_options, step_command
from .queue import UNWATCHED_S, WATCHED_S, Look, Queue

if TYPE_CHECKING:
    from ..ssh.questions import Ask

AWAY_S = 5.0
FIRST_S = 2
"""After so long the queue is looked at for the first time: many jobs begin at once."""
DECIDED_S = 20.0
"""So long a job may be on its way out before it is taken to be over."""
IDENTITY_FILE = "identity.pem"


@dataclass
class Submitted:
    """A job in the queue, or running, whose host nobody is connected to yet."""

    options: LaunchOptions
    job: str
    session: str
    details: dict[str, Any]
    notices: tuple[str, ...] = ()
    gone: int | None = None
    """Which start of the job is over (SLURM_RESTART_COUNT), when it was put back into the queue."""
    at: float = field(default_factory=time.time)


class SlurmBackend:
    """One session's."""

    name = "slurm"
    takes_runs = True
    tells_hosts = False

    def __init__(self) -> None:
        self._login = Login()
        self._local: LocalShell | None = None
        self._submitted: Submitted | None = None
        self._by_srun = False
        """The node could not be reached otherwise."""
        self._forwarded: dict[tuple[str, str], str] = {}
        """By session and address: the socket here that ssh leads there."""

    # -- launch

    @property
    def queued(self) -> str | None:
        return f"Job {self._submitted.job}" if self._submitted is not None else None

    async def withdraw(self) -> None:
        submitted = self._submitted
        if submitted is not None:
            await self._drop(await self.shell(submitted.options), submitted.session, submitted.job)
            self._submitted = None

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        """A job that is in the queue already, left there by an earlier call, is taken up."""
        shell = await self.shell(options, ask)
        submitted = self._submitted
        if submitted is None or await self._is_over(options, shell, submitted):
            submitted = self._submitted = await self._submit(options, shell, tell)
        try:
            fields = await self._wait(options, submitted, tell)
        except JobFailed:
            with contextlib.suppress(TargetUnavailable, OSError):
                await self.withdraw()
            self._submitted = None
            raise
        self._submitted = None
        self._by_srun = False
        details = {
            **submitted.details,
            **fields,
            "job": submitted.job,
            "session": submitted.session,
            "found": time.time(),
        }
        return Allocation(options, fields["runtime"], fields["pid"], None, details, submitted.notices)

    async def leave_run(self, run: str, pieces: list[bytes], again: bool) -> None:
        submitted = self._submitted
        if submitted is None:
            raise TargetUnavailable("The job has just started: run the cell again.")
        options, mark = submitted.options, new_mark()
        shell = await self.shell(options)
        about = _about(options, submitted.details["command"], run=run)
        sizes = {scripts.ABOUT: len(about), scripts.RUN: sum(map(len, pieces))}
        script = scripts.leave(mark, submitted.session, sizes, again)
        answer = await shell.run(script, mark, {scripts.ABOUT: [about], scripts.RUN: pieces})
        if scripts.ERROR in answer.said or "left" not in answer.said:
            why = answer.said.get(scripts.ERROR) or answer.errors.strip()[-500:]
            raise TargetUnavailable(f"{options.target!r}: the run could not be left with job {submitted.job}: {why}")
        self._submitted = None

    def forget(self) -> None:
        self._submitted = None

    async def is_put_back(self, allocation: Allocation) -> bool:
        shell = await self.shell(allocation.options)
        deadline = time.monotonic() + DECIDED_S
        while True:
            look = await self._queue(allocation.options).look(shell, 0.0)
            if look.fault:
                raise TargetUnavailable(f"{allocation.options.target!r}: {look.fault}")
            job = look.jobs.get(allocation.details["job"])
            if job is None or job.is_over:
                return False
            if job.is_waiting or _began_anew(job, allocation):
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(DECIDED_S / 40)  # its last start is being cleared away

    async def resume(self, allocation: Allocation) -> None:
        details = allocation.details
        shell = await self.shell(allocation.options)
        await self._unforward(shell, allocation.runtime)
        self._submitted = Submitted(
            allocation.options,
            details["job"],
            details["session"],
            {key: details[key] for key in ("command", "pyz")},
            gone=details.get("restarts"),
        )

    async def _submit(self, options: LaunchOptions, shell: Shell, tell: Tell) -> Submitted:
        try:
            identity = new_identity()
        except ImportError:
            raise TargetUnavailable(
                f"{options.target!r}: a Slurm target needs the package cryptography here: pip install 'farcell[slurm]'."
            ) from None
        variables = {**options.env, **secret_values(options)}
        if options.python is None and options.host is None:
            options = replace(options, python=sys.executable)
        bootstrap = Bootstrap(shell, options, tell, variables)
        prepared = await supplied(shell, options, tell, bootstrap.prepare)  # nodes may reach no index
        tell(f"submitting a job to {options.target!r}")
        digest, data = host_zipapp()
        sent = {
            scripts.ENVIRONMENT: scripts.environment(variables),
            scripts.IDENTITY: identity,
            scripts.ABOUT: _about(options, prepared.command),
        }
        mark = new_mark()
        script = scripts.submit(
            mark,
            new_session(options),
            (digest, len(data)),
            {name: len(content) for name, content in sent.items()},
            prepared.command,
            bootstrap.make_options(),
            launch_flags(options),
            sbatch_options(f"farcell-{options.target}", options.resources),
            options.setup,
            options.cache_dir,
            options.state_dir,
        )
        answer = await shell.run(script, mark, {name: [content] for name, content in {**sent, HOST: data}.items()})
        where = f"{options.target!r} ({options.host})" if options.host else f"{options.target!r}"
        if ERROR in answer.said:
            raise TargetUnavailable(f"{where}: {answer.said[ERROR]}", of_text(answer.said[ERROR]))
        job = parse_sbatch(answer.output) if "submit" in answer.said and answer.code == 0 else None
        if job is None:
            said = (answer.errors or answer.output).strip()[-1000:] or "(nothing)"
            next_step = of_refusal(said)
            raise TargetUnavailable(
                f"{where}: sbatch refused the job, which asked for {options.resources}. Slurm said:\n"
                + "\n".join(f"    {line}" for line in said.splitlines())
                + (f"\n{next_step}" if next_step else ""),
                Reason.JOB_REFUSED,
            )
        details = {"command": prepared.command, "pyz": answer.said["pyz"]}
        _write_identity(answer.said["session"], identity)
        return Submitted(options, job, answer.said["session"], details, prepared.notices)

    async def _wait(self, options: LaunchOptions, submitted: Submitted, tell: Tell) -> dict[str, Any]:
        """Until the host says where it is: the queue has no time-out. Raises TargetUnavailable when the job is over before."""
        where, job, seconds = options.target, submitted.job, FIRST_S
        tell(f"job {job} on {where!r} submitted")
        while True:
            try:
                shell = await self.shell(options)
                mark = new_mark()
                script = scripts.wait(mark, submitted.session, submitted.gone, seconds)
                seconds = scripts.WAIT_S
                answer = await shell.run(script, mark, timeout_s=6 * scripts.WAIT_S)
                found = answer.said.get("found")
                if found == "rendezvous.json":
                    return dict(json.loads(answer.output))
                if found is not None:
                    raise JobFailed(f"{where!r}, job {job}: {answer.output.strip()}")
                gone = "gone" in answer.said
                fresh_s = 0.0 if gone else min(WATCHED_S, time.time() - submitted.at)  # of before, it would lack the job
                look = await self._queue(options).look(shell, fresh_s)
                if gone:  # on another login node a new folder may be late
                    await asyncio.sleep(1.0)
            except (JobFailed, LoginRefused):
                raise
            except (TargetUnavailable, OSError, ValueError) as error:
                tell(f"job {job} on {where!r}: the cluster does not answer ({_first_line(error)}); it is asked again")
                await asyncio.sleep(AWAY_S)
                continue
            if self._told(options, submitted, look, tell):
                raise await self._too_early(options, shell, submitted, look)

    def _told(self, options: LaunchOptions, submitted: Submitted, look: Look, tell: Tell) -> bool:
        """Says what the job waits for; whether it is over."""
        job, where = look.jobs.get(submitted.job), options.target
        stale = f"; as of {look.age_s:.0f} s ago, since {look.fault}" if look.fault and look.at else ""
        if job is None:
            tell(f"job {submitted.job} on {where!r} submitted{stale}")
            return look.fault is None and time.time() - submitted.at > FORGOTTEN_S
        if job.is_over:
            return True
        if job.is_waiting:
            tell(f"job {job.id} on {where!r} is {job.waiting_text()}{stale}")
        else:
            tell(f"job {job.id} on {where!r} runs on {job.nodes or 'a node'} ({job.state.lower()}); its kernel starts{stale}")
        return False

    async def _too_early(self, options: LaunchOptions, shell: Shell, submitted: Submitted, look: Look) -> JobFailed:
        job = look.jobs.get(submitted.job)
        how, death = f"ended, {job.end_text()}," if job else "is gone", None
        if job is not None:
            death = of_job(job.id, job.state, job.end_text())
        mark = new_mark()
        answer = await shell.run(scripts.tail(mark, submitted.session), mark)
        log = "\n".join(f"    {line}" for line in answer.output.strip().splitlines()[-10:]) or "    (nothing)"
        text = f"{options.target!r}: job {submitted.job} {how} before its kernel could be reached."
        if death is None:
            return JobFailed(f"{text} It printed:\n{log}")
        return JobFailed(f"{text} {death.next_step} It printed:\n{log}", death.reason)

    async def _is_over(self, options: LaunchOptions, shell: Shell, submitted: Submitted) -> bool:
        job = (await self._queue(options).look(shell, WATCHED_S)).jobs.get(submitted.job)
        return job is not None and job.is_over

    # -- streams

    async def open_stream(self, allocation: Allocation) -> Opened:
        options, details = allocation.options, allocation.details
        shell = await self.shell(options)
        failures = []
        if options.route != "srun" and not self._by_srun:
            for address in details["addresses"]:
                try:
                    return await self._reach(shell, allocation, address)
                except (TargetUnavailable, OSError, asyncio.TimeoutError) as error:
                    failures.append(_first_line(error))
            if options.route == "tcp":
                raise TargetUnavailable(f"The node of job {details['job']} cannot be reached: {'; '.join(failures)}")
        opened = await self._step(shell, allocation)
        self._by_srun = True
        return opened

    async def _reach(self, shell: Shell, allocation: Allocation, address: str) -> Opened:
        """By TCP, which ends here or, with ssh, on the login node."""
        to = address
        if isinstance(shell, SshClient):
            key = (allocation.runtime, address)
            to = self._forwarded.get(key) or shell.new_socket()
            await shell.forward(to, address)
            self._forwarded[key] = to
        mark = new_mark()
        identity = await self._identity(shell, allocation)
        words = [sys.executable, "-m", "farcell_host", "reach", "--identity", str(identity)]
        words += ["--to", to, "--mark", mark]
        return await bridged(self._here(allocation.options), f"exec {shlex.join(words)}\n", mark)

    async def _identity(self, shell: Shell, allocation: Allocation) -> Path:
        """The session's key and certificate, in a file here: as they were made, else as the session's folder has them."""
        session = allocation.details["session"]
        file = _identity_file(session)
        if not file.exists():
            mark = new_mark()
            answer = await shell.run(scripts.read(mark, f"{session}/{IDENTITY_FILE}"), mark)
            if answer.code != 0 or "read" not in answer.said:
                raise TargetUnavailable(f"{session}/{IDENTITY_FILE} cannot be read: {answer.errors.strip()[-300:]}")
            _write_identity(session, answer.output.encode())
        return file

    async def _step(self, shell: Shell, allocation: Allocation) -> Opened:
        details = allocation.details
        mark = new_mark()
        srun = step_command(details["job"], details["node"])
        return await bridged(shell, scripts.step(mark, srun, details["command"], details["pyz"], allocation.runtime), mark)

    # -- afterwards

    async def poll(self, allocation: Allocation) -> JobState:
        options = allocation.options
        try:
            look = await self._queue(options).look(await self.shell(options), min(WATCHED_S, _age_s(allocation)))
        except (TargetUnavailable, OSError):
            return JobState.UNKNOWN
        job = look.jobs.get(allocation.details["job"])
        if job is None or not job.is_known:
            return JobState.UNKNOWN
        is_gone = job.is_over or job.is_waiting or _began_anew(job, allocation)
        return JobState.GONE if is_gone else JobState.RUNNING

    async def obituary(self, allocation: Allocation) -> Death | None:
        """As the host has left word of it, else as the queue was looked at last."""
        details = allocation.details
        with contextlib.suppress(TargetUnavailable, OSError, ValueError):
            shell = await self.shell(allocation.options)
            job = (await self._queue(allocation.options).look(shell, min(UNWATCHED_S, _age_s(allocation)))).jobs.get(
                details["job"]
            )
            how = job.end_text() if job is not None else "UNKNOWN"
            if job is not None and (job.is_waiting or _began_anew(job, allocation)):
                return of_job(job.id, job.state, how, is_waiting=True)
            mark = new_mark()
            answer = await shell.run(scripts.last_words(mark, details["session"]), mark)
            if answer.output.strip():
                ended = json.loads(answer.output)
                return of_session(f"{ended['reason']} (job {details['job']}, {how})", Reason.of(ended.get("code")))
            if job is not None and job.is_over:
                return of_job(job.id, job.state, how)
        return None

    async def ending(self, allocation: Allocation) -> Ending | None:
        options, details = allocation.options, allocation.details
        with contextlib.suppress(TargetUnavailable, OSError):
            shell = await self.shell(options)
            job = (await self._queue(options).look(shell, min(UNWATCHED_S, _age_s(allocation)))).jobs.get(details["job"])
            if job is not None and job.is_over:
                return Ending(details.get("ledger") or {}, job.end, job.end_text())
        return None

    async def journal(self, allocation: Allocation, after: int = 0) -> bytes:
        shell = await self.shell(allocation.options)
        folder, mark = f"{allocation.details['session']}/journal", new_mark()
        answer = await shell.run(scripts.names(mark, folder), mark)
        files = in_order(answer.output.split(), after)
        if not files:
            return b""
        mark = new_mark()
        answer = await shell.run(scripts.encoded(mark, folder, files), mark)
        return base64.b64decode(answer.output)

    async def release(self, allocation: Allocation) -> None:
        """A job that cannot be cancelled now ends by itself: its host after the target's keep_s, Slurm at the wall time."""
        details = allocation.details
        _identity_file(details["session"]).unlink(missing_ok=True)
        with contextlib.suppress(TargetUnavailable, OSError):
            shell = await self.shell(allocation.options)
            await self._drop(shell, details["session"], details["job"])
        await self.leave(allocation)

    async def leave(self, allocation: Allocation) -> None:
        for key, local in self._forwarded.items():
            if key[0] == allocation.runtime:
                Path(local).unlink(missing_ok=True)
        with contextlib.suppress(TargetUnavailable, OSError):
            await self._unforward(await self.shell(allocation.options), allocation.runtime)

    async def _unforward(self, shell: Shell, folder: str) -> None:
        for key in [key for key in self._forwarded if key[0] == folder]:
            local = self._forwarded.pop(key)
            Path(local).unlink(missing_ok=True)
            assert isinstance(shell, SshClient)
            await shell.unforward(local, key[1])

    async def _drop(self, shell: Shell, session: str, job: str) -> None:
        _identity_file(session).unlink(missing_ok=True)
        mark = new_mark()
        await shell.run(scripts.release(mark, session, job), mark)

    def doubt(self) -> None:
        self._login.doubt()

    # -- all sessions

    async def sessions(self, options: LaunchOptions) -> list[dict[str, Any]]:
        """Of all targets with the same `state_dir` on the cluster: jobs that wait or run, and what is left of those that are
        over. squeue is asked once for all, hosts are not: they tell in their folders what they do."""
        shell = await self.shell(options)
        found, look = await self._folders(options, shell)
        litter = [folder.path for folder in found if is_litter(folder, look)]
        if litter:
            mark = new_mark()
            await shell.run(scripts.remove(mark, litter), mark)
        return [status_of(folder, look) for folder in found if folder.path not in litter]

    def way(self, allocation: Allocation) -> dict[str, Any] | None:
        details = allocation.details
        if allocation.options.route == "srun" or not details.get("addresses"):
            return None
        return {"identity": f"{details['session']}/{IDENTITY_FILE}", "to": list(details["addresses"])}

    async def end(self, options: LaunchOptions, runtime: str) -> None:
        shell = await self.shell(options)
        found, _ = await self._folders(options, shell)
        for folder in found:
            if folder.session == PurePosixPath(runtime).name:
                await self._drop(shell, folder.path, folder.job)

    async def _folders(self, options: LaunchOptions, shell: Shell) -> tuple[list[Folder], Look]:
        mark = new_mark()
        answer = await shell.run(scripts.folders(mark, options.state_dir), mark)
        if "sessions" not in answer.said:
            said = (answer.errors or answer.output).strip()[-500:] or "(nothing)"
            raise TargetUnavailable(f"{options.target!r}: the sessions there could not be listed. It said:\n    {said}")
        folders = parse_folders(answer.output)
        look = await self._queue(options).look(shell, WATCHED_S) if folders else Look(0.0, {})
        if look.fault and look.at == 0.0:
            raise TargetUnavailable(f"{options.target!r}: {look.fault}")
        return folders, look

    async def shell(self, options: LaunchOptions, ask: Ask | None = None) -> Shell:
        """On the machine where jobs are submitted."""
        return self._here(options) if options.host is None else await self._login.client(options, ask)

    def _here(self, options: LaunchOptions) -> LocalShell:
        if self._local is None:
            self._local = LocalShell(options.target)
        return self._local

    def _queue(self, options: LaunchOptions) -> Queue:
        here = os.environ.get("SLURM_CONF", "") if options.host is None else ""
        where = "\0".join((options.ssh, options.user or "", options.host or "", here))
        return Queue(hashlib.blake2b(where.encode(), digest_size=6).hexdigest())


class JobFailed(TargetUnavailable):
    """The job is over, or its script gave up, before there was a kernel."""


def _about(options: LaunchOptions, command: str, **more: Any) -> bytes:
    """For whoever finds the session's folder."""
    about = {"notebook": options.notebook, "target": options.target, "submitted": time.time(), "command": command}
    return json.dumps({**about, **more}).encode()


def _identity_file(session: str) -> Path:
    """On this machine, for bridges to read."""
    return runtime.secure(runtime.secure(runtime.root()) / "slurm") / f"{PurePosixPath(session).name}.pem"


def _write_identity(session: str, identity: bytes) -> None:
    """Into a 0600 file, which is there whole or not at all: another kernel of this machine may want the same."""
    file = _identity_file(session)
    fresh = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(identity)
    os.replace(fresh, file)


def _age_s(allocation: Allocation) -> float:
    """So long ago its host was found: what squeue said before is of the time when it waited still."""
    return max(0.0, time.time() - float(allocation.details["found"]))


def _began_anew(job: Job, allocation: Allocation) -> bool:
    """Whether it runs, and not for the first time since this host of it was started. All by the cluster's clocks."""
    return job.state == "RUNNING" and job.start is not None and job.start > float(allocation.details["started"])


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
