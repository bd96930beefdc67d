"""Kernel hosts that the broker starts for its leases: started, found again, asked, told to save, ended; and whether their GPUs
are free.

A host's runtime folder is named after its lease's id and fence, so that a start whose answer was lost finds the host that it
has started. It gets a plain environment (no token of the broker's, no address of its database, no ssh agent) and the GPUs of its
lease; how people are kept apart is `isolation/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from farcell.backends.base import JobState, LaunchOptions, Opened, Unreachable
from farcell.errors import TargetUnavailable
from farcell_host import chunkstore, leased

from .asking import ask
from .errors import Refused
from .gpus import busy_devices
from .isolation import isolation_named
from .isolation.base import Host, Isolation, Wanted
from .kept import kept, place_of
from .lease import Lease
from .policy import SharedTarget
from .reading import Journal, read_journal

SAVE_S = 600.0
"""A namespace may take so long to be saved; the host has the same limit (retirement.py)."""
ENDED_S = 30.0
_LOOK_S = (0.05, 1.0)
FORSAKEN_S = 7 * 86400.0
"""The host's own time-outs: the broker decides long before, unless it comes back no more."""
LOCAL = ("local", "local-attach")
"""Backends whose hosts are where the broker is."""
UNSENT = ("JUPYTERHUB_", "JPY_", "FARCELL_BROKER_", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "DATABASE_URL", "PGPASS")
"""Variables of the broker's own that no policy can have sent to a host, by how their names begin."""


class Hosts:
    """Of all shared targets; methods run on one event loop. They raise TargetUnavailable when a place cannot be reached."""

    def __init__(self, targets: Mapping[str, SharedTarget] | None = None) -> None:
        """`targets`: those of hosts that were started before this broker, until `start` or `knows` says what they are now."""
        self._places: dict[str, SharedTarget] = dict(targets or {})
        self._isolations: dict[str, Isolation] = {}

    def knows(self, target: SharedTarget) -> None:
        """This is how the target is defined now."""
        self._places[target.name] = target

    def place_of(self, lease: Lease, now: SharedTarget | None) -> SharedTarget:
        """Where what the lease has started is; `now` is what policy says of its target. Raises TargetUnavailable."""
        if now is None:
            self._places.pop(lease.target, None)
        else:
            self.knows(now)
        return place_of(lease.target, lease.definition, now)

    async def start(self, lease: Lease, target: SharedTarget) -> dict[str, Any]:
        """Returns when the host listens: JSON with all that is needed to find it after a restart. Raises Refused where the policy
        allows no such host. Asked again for the same lease and fence, it answers with the host that lives."""
        self.knows(target)
        wanted, isolation = _wanted(lease, target), self._isolation(target.isolation)
        try:
            host = await isolation.start(wanted)
        except (TargetUnavailable, OSError, asyncio.TimeoutError):
            # It may have begun all the same, and would be there when its GPUs are somebody else's.
            with contextlib.suppress(TargetUnavailable, OSError):
                await isolation.abandon(wanted)
            raise
        return {
            **({"machine": machine()} if target.backend in LOCAL else {}),
            "target": target.name,
            "isolation": target.isolation,
            "session": wanted.options.session,
            "lease": lease.id,
            "definition": lease.definition or kept(target),
            **host,
        }

    async def abandon(self, lease: Lease, target: SharedTarget) -> None:
        """Ends what a start for this lease has left whose answer nobody has. Raises TargetUnavailable while that may live."""
        with contextlib.suppress(Refused):  # nothing was ever started
            await self._isolation(target.isolation).abandon(_wanted(lease, target))

    async def open_stream(self, host: Host) -> Opened:
        """Bytes of farcell's protocol, to and from the host."""
        return await self._isolation(host["isolation"]).open_stream(host, self._options(host))

    async def status(self, host: Host) -> dict[str, Any] | None:
        """What the host says of itself (docs/architecture.md), with `is_answering`; None when it is gone for certain.

        A host that is there and says nothing has `is_answering` false: its kernel may work on.
        """
        try:
            return {**await self.ask(host, "status"), "is_answering": True}
        except (TargetUnavailable, OSError) as error:  # asked first: where a helper is in between each question costs a process
            state = await self._poll(host)
            if state is JobState.GONE:
                return None
            if state is JobState.UNKNOWN:
                raise Unreachable(f"{host['target']!r} cannot be asked about session {host['session']}: {error}") from error
            return {"is_answering": False, "message": str(error)}

    async def ask(self, host: Host, op: str, timeout_s: float = 10.0, **fields: Any) -> dict[str, Any]:
        """A question that an observer may ask (docs/architecture.md, "Requests to the host")."""
        return await ask(await self.open_stream(host), op, timeout_s, **fields)

    async def journal(self, host: Host, most_bytes: int, timeout_s: float, until_end: bool = False) -> Journal:
        """What its runs have shown and nobody has taken; with `until_end` also what comes until the host is gone."""
        return await read_journal(await self.open_stream(host), most_bytes, timeout_s, until_end)

    async def tell(self, host: Host, text: str) -> None:
        """Shows the person something in the notebook that drives the host, if one does."""
        await self.ask(host, "tell", text=text)

    async def save_and_end(self, host: Host, grace_s: float, why: str = "its lease is over") -> None:
        """The run is interrupted and gets `grace_s` to end, the namespace is saved, the notebook told; then all of the host ends.

        It ends in any case, also where it cannot be asked to save: after `grace_s` and the time that a save may take.
        """
        with contextlib.suppress(TargetUnavailable, OSError):
            saves = self._isolation(host["isolation"]).keeps_home
            await self.ask(host, "retire", why=why, grace_s=grace_s, saves=saves)
            await self._gone(host, grace_s + SAVE_S)
        await self.end(host)

    async def end(self, host: Host) -> None:
        """At once, with all that it has started; safe to call twice. Raises TargetUnavailable while anything of it may live."""
        await self._isolation(host["isolation"]).end(host, self._options(host))
        if not await self._gone(host, ENDED_S):
            raise TargetUnavailable(f"Session {host['session']} on {host['target']!r} was told to end and has not.")

    async def busy_devices(self, target: SharedTarget) -> set[int] | None:
        """GPUs of the target with a process on them, whoever's; None when it cannot be asked: then nothing of it is free."""
        return await busy_devices(target)

    async def _poll(self, host: Host) -> JobState:
        return await self._isolation(host["isolation"]).poll(host, self._options(host))

    async def _gone(self, host: Host, timeout_s: float) -> bool:
        deadline, (pause, longest) = time.monotonic() + timeout_s, _LOOK_S
        while await self._poll(host) is not JobState.GONE:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(pause)  # another machine's process: there is nothing to wait on
            pause = min(2 * pause, longest)
        return True

    def _isolation(self, name: str) -> Isolation:
        if name not in self._isolations:
            self._isolations[name] = isolation_named(name)
        return self._isolations[name]

    def _options(self, host: Host) -> LaunchOptions:
        its_id, its_name = host.get("machine") or machine()
        if its_id != machine()[0]:
            raise Unreachable(
                f"Session {host['session']} runs on {its_name}, where the broker was that has started it; this one is on "
                f"{platform.node()}. {host['target']!r} has no way from one machine to another: start a broker there."
            )
        place = place_of(host["target"], host.get("definition"), self._places.get(host["target"]))
        options = place.launch_options()
        return replace(options, env={**options.env, leased.MARK: host["lease"]}, session=host["session"], inherits=False)


@lru_cache(maxsize=1)
def machine() -> list[str]:
    """Something that no other machine is, also under another name; and its name."""
    try:
        its_id = Path("/etc/machine-id").read_text().strip()
    except OSError:
        its_id = ""
    return [_digest(its_id or platform.node()), platform.node()]


def _wanted(lease: Lease, target: SharedTarget) -> Wanted:
    return Wanted(lease.id, lease.fence, lease.user, lease.account, lease.devices, target, host_options(lease, target))


def host_options(lease: Lease, target: SharedTarget) -> LaunchOptions:
    """What the lease's host is started with; raises Refused for what no host may be given."""
    options = target.launch_options(notebook_key(lease.user, lease.notebook))
    forbidden = [name for name in options.secrets if name.startswith(UNSENT)]
    if forbidden:
        raise Refused(
            f"{target.name!r} names {', '.join(forbidden)} among its secrets, which are the broker's own and go to no host. "
            "Take them out of the policy."
        )
    resources = replace(options.resources, gpus=lease.gpus or None)
    if lease.ends_at is not None and lease.granted_at is not None:
        asked = math.ceil(lease.ends_at - lease.granted_at)
        resources = replace(resources, walltime_s=min(asked, resources.walltime_s or asked))
    return replace(
        options,
        env={**options.env, **device_environment(lease, target), leased.MARK: lease.id, chunkstore.PART: _digest(lease.user)},
        resources=resources,
        session=session_name(lease),
        inherits=False,
        idle_timeout_s=FORSAKEN_S,
        keep_s=FORSAKEN_S,
    )


def session_name(lease: Lease) -> str:
    """Of the runtime folder: short enough for a socket's path, and nobody else's."""
    return f"s-{_digest(lease.id, str(lease.fence))[:10]}"


def notebook_key(user: str, notebook: str | None) -> str | None:
    """Under which a host keeps snapshots: two people's notebooks of one name are two, also where one account has both; and the
    host's command line, which everybody on the machine can read, tells neither."""
    return None if notebook is None else _digest(user, notebook)


def device_environment(lease: Lease, target: SharedTarget) -> dict[str, str]:
    """The lease's GPUs and no others, numbered as NVML does; a scheduler says itself which they are."""
    if target.backend == "slurm" or not target.device_indexes:
        return {}
    devices = ",".join(map(str, lease.devices))
    is_alone = target.isolation == "container" and target.engine != "apptainer"
    # A container that was given two devices counts them as 0 and 1, whatever they are outside; its engine knows them by that.
    inside = ",".join(map(str, range(len(lease.devices)))) if is_alone else devices
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": inside,
        "NVIDIA_VISIBLE_DEVICES": devices or "void",
        "HIP_VISIBLE_DEVICES": inside,
        "ROCR_VISIBLE_DEVICES": inside,
    }


def _digest(*words: str) -> str:
    return hashlib.blake2b("\0".join(words).encode(), digest_size=12).hexdigest()
