"""Values that only a session had, and that were saved when it ended: brought back into the next session on its target."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from farcell_host.retirement import saved_text

from .errors import UsageError
from .refs import Ref, human_bytes

if TYPE_CHECKING:
    from .conversation import Conversation
    from .life import Life
    from .relay.notebook import Notebook

ASK_S = 30.0


class Restoring:
    """One session's."""

    def __init__(self, life: Life, conversation: Conversation, notebook: Notebook) -> None:
        self._life, self._conversation, self._notebook = life, conversation, notebook

    def bring_back(self, refs: Mapping[str, Ref], limit_bytes: int) -> None:
        """What the session before this one had, when it was saved as that ended; of an older snapshot only that it is there."""
        found = [each for each in self.snapshots() if set(refs) & set(each["manifest"]["names"])]
        if not found:
            return
        manifest = found[0]["manifest"]
        names = sorted(set(refs) & set(manifest["names"]))
        if manifest.get("is_last") and manifest["session"] == self._life.session_before:
            self._restore(found[0], names, limit_bytes)
        else:
            self._notebook.say(
                f"A snapshot of {_when(manifest)} has {', '.join(names)}, perhaps not as of late: "
                f"%remote restore {self._life.target} brings them back."
            )

    def restore(self, names: Iterable[str], limit_bytes: int) -> list[str]:
        """From the latest snapshot, all its names without any; those that were brought back. Raises UsageError, Refused."""
        found = self.snapshots()
        if not found:
            raise UsageError(f"There is no snapshot of this notebook on {self._life.target!r}. %remote save makes one.")
        known = found[0]["manifest"]["names"]
        wanted = list(names) or sorted(known)
        missing = [name for name in wanted if name not in known]
        if missing:
            what, has = ", ".join(missing), ", ".join(sorted(known))
            raise UsageError(f"The snapshot of {_when(found[0]['manifest'])} has no {what}; it has {has}.")
        return self._restore(found[0], wanted, limit_bytes)

    def save(self) -> None:
        """The namespace as it is now. Raises Refused with the reason when it could not be written."""
        answer = self._request("snapshots")
        about = {**answer["about"], "reason": "%remote save"}
        reply, _ = self._conversation.ask("farcell_save_request", {"folder": answer["new"], "about": about})
        self._notebook.say(saved_text(reply["manifest"]))

    def forget(self) -> int:
        """Removes this notebook's snapshots; how many there were."""
        return int(self._request("forget_snapshots")["removed"])

    def snapshots(self) -> list[dict[str, Any]]:
        """Each with `folder` and `manifest`, the latest first."""
        return list(self._request("snapshots")["found"])

    def _restore(self, snapshot: Mapping[str, Any], names: list[str], limit_bytes: int) -> list[str]:
        manifest = snapshot["manifest"]
        content = {"folder": snapshot["folder"], "names": names, "limit_bytes": limit_bytes}
        reply, _ = self._conversation.ask("farcell_restore_request", content)
        restored = list(reply["restored"])
        size = human_bytes(sum(int(manifest["names"][name].get("bytes") or 0) for name in restored))
        what = f"{', '.join(restored)} ({size})."
        left = "; ".join(f"{name} ({reason})" for name, reason in manifest["left"].items())
        what += f" Not in it: {left}." if left else ""
        self._notebook.say(f"Back on {self._life.target!r} from the snapshot of {_when(manifest)}: {what}")
        return restored

    def _request(self, op: str) -> dict[str, Any]:
        assert self._life.connection is not None
        return self._life.connection.request(op).result(ASK_S)


def _when(manifest: Mapping[str, Any]) -> str:
    return time.strftime("%H:%M on %d %b", time.localtime(float(manifest["made"])))
