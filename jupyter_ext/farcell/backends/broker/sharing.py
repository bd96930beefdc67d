"""Outputs of a run shown to other users of a broker, and theirs shown here; sessions whose values others may read.

Of a run only outputs are sent: no code, no values. A value of another's session is read as data, as of a target with
`trust = "data"`. What comes back was cleaned by the broker, and of that only the kinds listed here are
displayed, since the output of one's own cell is trusted by the front end.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ... import untrusted
from ...errors import UsageError
from ...exchange import Exchange
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
    made = _made(broker, {"run": run, "readers": list(readers), "outputs": list(outputs), "target": target}, lasts)
    text = f"{', '.join(made['readers'])} can see the outputs of run {run[:8]} until {_moment(made['expires_at'])}, with"
    text += f" %remote shared {made['id']}"
    if made["left_out"]:
        text += f"\nNot shown to others: {', '.join(made['left_out'])}."
    return text


def share_session(broker: BrokerClient, lease: str, readers: Sequence[str], lasts: str | None = None) -> str:
    """As `share`: of a session, whose values they may read while it lasts."""
    made = _made(broker, {"lease": lease, "readers": list(readers)}, lasts)
    return (
        f"{', '.join(made['readers'])} can read the variables of this session on {made['target']!r} while it lasts, until "
        f"{_moment(made['expires_at'])} at most: %remote shared {made['id']} lists them, with --pull NAME they are read. They "
        "run nothing in it and change nothing."
    )


def _made(broker: BrokerClient, asked: dict[str, Any], lasts: str | None) -> dict[str, Any]:
    if lasts is not None:
        try:
            asked["lasts_s"] = float(seconds(lasts))
        except ValueError as error:
            raise UsageError(f"--for {lasts}: {error}.") from None
    return dict(_wait(broker.post("api/shares", asked)))


def end(broker: BrokerClient, id: str) -> str:
    _wait(broker.delete(f"api/shares/{_id(id)}"))
    return f"The share {id} has ended."


def listed(broker: BrokerClient) -> Table:
    """What this user shares and what is shared with them."""
    rows = [
        [
            each["id"],
            each["owner"],
            ", ".join(each["readers"]),
            "the session" if each["is_session"] else each["run"][:8],
            each["target"],
            _moment(each["expires_at"]),
        ]
        for each in _wait(broker.get("api/shares"))["shares"]
    ]
    columns = ["share", "of", "with", "run", "target", "until"]
    return Table(f"Shared by {broker.url}", columns, rows, "nothing; %remote share RUN --with USER shares a run")


def show(broker: BrokerClient, id: str) -> Table | None:
    """In the present cell, below a line that says whose outputs these are; of a session, the table of what it holds."""
    from IPython.display import display

    share = _wait(broker.get(f"api/shares/{_id(id)}"))
    if share["is_session"]:
        return _held(share, _values(broker, id, ()))
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
    return None


def _held(share: dict[str, Any], told: dict[str, Any]) -> Table:
    rows = [[untrusted.word(each.get(key) or "-") for key in ("name", "type", "shape", "repr")] for each in told["vars"]]
    title = f"{share['owner']!r} shares a session on {share['target']!r}, which holds"
    return Table(title, ["name", "type", "shape", "value"], rows, "nothing yet")


def pull(broker: BrokerClient, id: str, names: Sequence[str]) -> dict[str, Any]:
    """Values of a session that another shares, read as data: they run nothing here, whatever was sent. Raises UsageError for what
    is not there, no data, or too large, and FarcellError for what is not what it says it is."""
    told = _values(broker, id, names)["values"]
    unread: dict[str, str] = {}
    beside = Exchange({}, 0, (), lambda name, info: unread.update({name: info.reason}), takes_data_alone=True)
    buffers, bulk = ([bytearray(base64.b64decode(each)) for each in told[room]] for room in ("buffers", "bulk"))
    beside.merge(told["state"], buffers, bulk)
    found = {name: beside.namespace[name] for name in names if name in beside.namespace and name not in unread}
    for name in names:
        if name not in found:
            raise UsageError(f"{name} cannot be read: {untrusted.word(unread.get(name, 'the session has no such variable'))}.")
    return found


def _values(broker: BrokerClient, id: str, names: Sequence[str]) -> dict[str, Any]:
    told = _wait(broker.post(f"api/shares/{_id(id)}/values", {"names": list(names)}))
    if told["vars"] is None:
        raise UsageError("A cell runs in that session now, or its kernel is starting: try again when it is over.")
    return dict(told)


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
