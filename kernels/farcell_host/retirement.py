"""The end of a session that nobody asked for: its job is preempted, its wall time is over, or nobody uses it.

Nothing new is begun; a run that goes on is interrupted and given some time; then the namespace is saved, the notebook is told,
and the host ends. A run that was interrupted so is never run again by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import FarcellHostError
from .reasons import Reason
from .snapshots import Snapshots

if TYPE_CHECKING:
    from .host import Host

SAVE_S = 600.0
"""So long a save may take; the scheduler has its own opinion of that."""
QUOTA_BYTES = 64 << 30

log = logging.getLogger("farcell.host")


class Retirement:
    """One host's. `report`: a file for whoever asks why the host is gone."""

    def __init__(self, host: Host, snapshots: Path, report: Path | None, grace_s: float) -> None:
        """`grace_s`: so long a run may take to end once it is interrupted."""
        self._host = host
        self._snapshots = Snapshots(snapshots)
        self._report = report
        self._grace_s = grace_s
        self._task: asyncio.Task[None] | None = None

    def begin(self, why: str, reason: Reason = Reason.UNKNOWN, grace_s: float | None = None, saves: bool = True) -> None:
        """Once; in words: `its wall time is over`. On the host's loop. Without `saves` nothing here would outlive the session."""
        self._grace_s = self._grace_s if grace_s is None or self._task is not None else grace_s
        if self._task is None:
            self._task = asyncio.ensure_future(self._retire(why, reason, saves))

    def offer(self) -> dict[str, Any]:
        """The snapshots of this notebook on this target, and all that another one needs."""
        host = self._host.options
        self._snapshots.tidy(host.notebook, host.target)
        found = [
            {"folder": str(each.folder), "manifest": each.manifest} for each in self._snapshots.of(host.notebook, host.target)
        ]
        used = sum(int(each.manifest.get("bytes", 0)) for each in self._snapshots.all())
        about = {
            "notebook": host.notebook,
            "target": host.target,
            "session": host.runtime.name,
            "room": max(0, QUOTA_BYTES - used),
        }
        return {"found": found, "new": str(self._snapshots.new_folder(host.notebook, host.target)), "about": about}

    def forget(self) -> int:
        """Removes the snapshots of this notebook on this target; how many there were."""
        return self._snapshots.forget(self._host.options.notebook, self._host.options.target)

    async def save(self, why: str) -> dict[str, Any]:
        """The snapshot's manifest; raises FarcellHostError when there is none."""
        offer = self.offer()
        content = {"folder": offer["new"], "about": {**offer["about"], "reason": why, "is_last": True}}
        answer = await self._host.ask_kernel("farcell_save_request", content, SAVE_S)
        if answer.get("status") != "ok":
            raise FarcellHostError(str(answer.get("message")))
        return dict(answer["manifest"])

    async def _retire(self, why: str, reason: Reason, saves: bool) -> None:
        host = self._host
        host.close_to_runs(f"The session ends: {why}. Run the cell again: it gets a new one.")
        said = [f"The session ends: {why}."]
        ended: dict[str, Any] = {"reason": why, "code": reason.value, "at": time.time()}
        try:
            run = host.run
            ended["run"] = run
            host.notify(f"The run is interrupted: {why}." if run is not None else "", closing=why)
            if run is not None and not await host.interrupted(self._grace_s):
                raise FarcellHostError(f"the run did not stop within {self._grace_s:g} s")
            if saves:
                ended["saved"] = manifest = await self.save(why)
                said.append(saved_text(manifest))
            else:
                said.append("Its variables are not saved: nothing stays on this target when a lease is over.")
        except (FarcellHostError, OSError, asyncio.TimeoutError) as error:
            ended["fault"] = str(error) or "it took too long"
            said.append(f"Its variables could not be saved: {ended['fault']}.")
            log.warning("Not saved: %s", ended["fault"])
        saved = sorted(ended["saved"]["names"]) if "saved" in ended else []
        host.notify(" ".join(said), saved=saved, ends=why, reason=reason.value)
        ended["text"] = " ".join(said)
        if self._report is not None:
            write_whole(self._report, ended)
        host.stop(why)


def saved_text(manifest: dict[str, Any]) -> str:
    """What was saved and what was not, by name."""
    names, left = sorted(manifest["names"]), manifest["left"]
    what = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    text = f"Saved: {what} ({manifest['bytes'] / 1e6:.1f} MB)." if names else "There was nothing to save."
    if left:
        shown = list(left.items())[:8]
        text += " Not saved: " + "; ".join(f"{name} ({reason})" for name, reason in shown)
        text += f"; and {len(left) - 8} more." if len(left) > 8 else "."
    return text


def write_whole(file: Path, fields: dict[str, Any]) -> None:
    """Complete or absent, also for another node: over a shared file system a name may otherwise come before its content."""
    fresh = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(fields, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, file)
