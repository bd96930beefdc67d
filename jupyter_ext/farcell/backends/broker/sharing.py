"""Outputs of a run shown to other users of a broker, and theirs shown here.

Only outputs are sent: no code, no values. What comes back was cleaned by the broker, and of that only the kinds listed here are
displayed, since the output of one's own cell is trusted by the front end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ...errors import UsageError
from ...tables import Table
from ...targets import Targets
from ...threads import loop_thread
from ..base import LaunchOptions
from ..resources import seconds
from .client import BrokerClient
from .offered import offers

T = TypeVar("T")
SHOWN = ("text/plain", "text/html", "image/png", "image/jpeg", "image/gif")


def broker_of(targets: Targets, name: str | None) -> BrokerClient:
    """That of the target named, else the only one there is; raises UsageError."""
    if name is not None:
        options = targets.get(name).launch_options()
        if options.backend != "broker":
            raise UsageError(f"{name!r} belongs to no broker. {_choices(_brokers(targets))}")
        return BrokerClient.of(options)
    brokers = _brokers(targets)
    if len(brokers) == 1:
        return BrokerClient.of(next(iter(brokers.values())))
    offered = offers()
    if not brokers and offered.url:
        return BrokerClient(offered.url, offered.token_file)
    raise UsageError(f"Sharing goes by a broker. {_choices(brokers)}")


def share(
    broker: BrokerClient,
    run: str,
    target: str,
    outputs: Sequence[dict[str, Any]],
    readers: Sequence[str],
    lasts: str | None = None,
) -> str:
    """Says what was done. Raises UsageError for a time that is none, TargetUnavailable for what the broker refuses."""
    asked: dict[str, Any] = {"run": run, "readers": list(readers), "outputs": list(outputs), "target": target}
    if lasts is not None:
        try:
            asked["lasts_s"] = float(seconds(lasts))
        except ValueError as error:
            raise UsageError(f"--for {lasts}: {error}.") from None
    made = _wait(broker.post("api/shares", asked))
    text = f"{', '.join(made['readers'])} can see the outputs of run {run[:8]} until {_moment(made['expires_at'])}, with"
    text += f" %remote shared {made['id']}"
    if made["left_out"]:
        text += f"\nNot shown to others: {', '.join(made['left_out'])}."
    return text


def end(broker: BrokerClient, id: str) -> str:
    _wait(broker.delete(f"api/shares/{_id(id)}"))
    return f"The share {id} has ended."


def listed(broker: BrokerClient) -> Table:
    """What this user shares and what is shared with them."""
    rows = [
        [each["id"], each["owner"], ", ".join(each["readers"]), each["run"][:8], each["target"], _moment(each["expires_at"])]
        for each in _wait(broker.get("api/shares"))["shares"]
    ]
    columns = ["share", "of", "with", "run", "target", "until"]
    return Table(f"Shared runs of {broker.url}", columns, rows, "none; %remote share RUN --with USER shares one")


def show(broker: BrokerClient, id: str) -> None:
    """In the present cell, below a line that says whose outputs these are."""
    from IPython.display import display

    share = _wait(broker.get(f"api/shares/{_id(id)}"))
    print(f"{share['owner']!r} shares run {share['run'][:8]} on {share['target']!r}, of {_moment(share['made_at'])}:")
    for output in share["outputs"]:
        kind = output["output_type"]
        if kind == "stream":
            print(output["text"], end="", file=sys.stderr if output["name"] == "stderr" else sys.stdout)
        elif kind == "error":
            print("\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}", file=sys.stderr)
        elif kind == "display_data":
            data = {key: value for key, value in output["data"].items() if key in SHOWN}
            display(data, metadata=output["metadata"], raw=True)  # type: ignore[no-untyped-call]
    if share["left_out"]:
        print(f"Not shown, since it could do more than be looked at: {', '.join(share['left_out'])}.", file=sys.stderr)


def _brokers(targets: Targets) -> dict[str, LaunchOptions]:
    """One target of each, by the broker's address."""
    found: dict[str, LaunchOptions] = {}
    for name in targets.names:
        options = targets.get(name).launch_options()
        if options.backend == "broker" and options.url is not None:
            found.setdefault(options.url.rstrip("/"), options)
    return found


def _choices(brokers: dict[str, LaunchOptions]) -> str:
    if not brokers:
        return "No target of yours belongs to one: see docs/broker.md."
    return f"Say which, with --broker TARGET, a target of one of these: {', '.join(sorted(brokers))}."


def _id(text: str) -> str:
    if not text.isalnum():
        raise UsageError(f"{text!r} is no share; %remote shared lists them.")
    return text


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _wait(work: Coroutine[Any, Any, T]) -> T:
    return loop_thread().submit(work).result()
