"""From what hosts, places and files say to what is answered. Pure: no clock, no connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farcell_host.commands import OTHER_VERSION, SILENT

from ..everywhere import Session
from ..targets import BUILTIN, Fault, Target, Targets
from ..targetsfile import where
from .schemas import (
    Gpu,
    GpuProcess,
    PlaceFault,
    SessionAction,
    SessionDetail,
    SessionFace,
    SessionGpus,
    SessionState,
    TargetFace,
)

UNHEARD: SessionState = "unheard"
_STATES: dict[str, SessionState] = {
    "starting": "starting",
    "idle": "idle",
    "busy": "busy",
    "dead": "dead",
    SILENT: "silent",
    OTHER_VERSION: "other-version",
    UNHEARD: UNHEARD,
}
_ACTIONS: dict[SessionState, tuple[SessionAction, ...]] = {
    "waiting": ("stop", "cancel"),
    "starting": ("stop", "restart"),
    "idle": ("stop", "restart"),
    "busy": ("stop", "interrupt", "restart"),
    "dead": ("stop", "restart"),
    "silent": ("stop",),
    "unheard": ("stop",),
    "other-version": ("stop",),
    "over": ("stop",),
}


# -- sessions


def state_of(status: Mapping[str, Any]) -> tuple[SessionState, str | None]:
    """In a word that programs can compare, and what a scheduler says beside it."""
    said = str(status.get("state") or "starting")
    if status.get("is_over"):
        return "over", said
    if status.get("is_waiting"):
        return "waiting", said
    message = status.get("message")
    return _STATES.get(said, "starting"), None if message is None else str(message)


def session_face(
    session: Session, *, idle_since: float | None, is_live: bool, as_of: float, ends_at: float | None = None
) -> SessionFace:
    return SessionFace(**_session_fields(session, idle_since, is_live, as_of, ends_at))


def session_detail(
    session: Session, *, idle_since: float | None, is_live: bool, as_of: float, ends_at: float | None = None
) -> SessionDetail:
    status = session.status
    connections = status.get("connections")
    return SessionDetail(
        **_session_fields(session, idle_since, is_live, as_of, ends_at),
        connections=None if connections is None else [str(role) for role, _ in connections],
        journal_bytes=status.get("journal_bytes"),
        direct=status.get("direct"),
        capabilities=status.get("capabilities"),
        runtime=session.runtime,
    )


def _session_fields(
    session: Session, idle_since: float | None, is_live: bool, as_of: float, ends_at: float | None
) -> dict[str, Any]:
    status = session.status
    ending = status.get("ending") or {}
    state, detail = state_of(status)
    waiting = [str(run) for run in status.get("waiting_runs") or ()]
    actions = list(_ACTIONS[state])
    if waiting and "cancel" not in actions and "restart" in actions:
        actions.append("cancel")
    roles = None if (connections := status.get("connections")) is None else [role for role, _ in connections]
    memory = [status[key] for key in ("memory_bytes", "kernel_memory_bytes") if status.get(key) is not None]
    return {
        "id": session.id,
        "target": session.target,
        "backend": session.options.backend,
        "machine": session.where,
        "is_here": session.options.backend.startswith("local"),
        "job": None if status.get("job") is None else str(status["job"]),
        "state": state,
        "detail": detail,
        "notebook": status.get("notebook"),
        "run": session.run,
        "waiting_runs": waiting,
        "untaken_runs": [str(run) for run in status.get("untaken_runs") or ()],
        "runs_left": list(dict.fromkeys(session.left)),
        "is_driven": None if roles is None else "driver" in roles,
        "observers": None if roles is None else roles.count("observer"),
        "idle_since": None if state == "busy" else idle_since,
        "ends_at": ends_at,
        "ends_why": None if ends_at is None else ending.get("why"),
        "ends_lead_s": None if ends_at is None else ending.get("lead_s"),
        "started": status.get("started"),
        "memory_bytes": sum(memory) if memory else None,
        "python": status.get("python"),
        "kernel_pid": status.get("kernel_pid"),
        "epoch": status.get("epoch"),
        "version": status.get("version"),
        "actions": actions,
        "is_live": is_live,
        "as_of": as_of,
    }


# -- GPUs


def gpus_face(session: Session, said: Mapping[str, Any] | None, message: str | None, at: float | None) -> SessionGpus:
    """`said`: a host's answer to `gpus`; without it `message` tells why there is none."""
    if said is None:
        return SessionGpus(
            session=session.id, target=session.target, state="unasked", message=message, own_memory_bytes=None, drivers={},
            gpus=[], at=at,
        )  # fmt: skip
    libraries = said.get("libraries") or ()
    texts = [f"{each['vendor']}: {each['text']}" for each in libraries if each.get("text")]
    return SessionGpus(
        session=session.id,
        target=session.target,
        state=said["state"],
        message="; ".join(texts) or None,
        own_memory_bytes=said.get("own_memory_bytes"),
        drivers={each["vendor"]: each["driver"] for each in libraries if each.get("driver")},
        gpus=[_gpu(device, said.get("kernel_pid")) for device in said.get("devices") or ()],
        at=at,
    )


def _gpu(device: Mapping[str, Any], kernel: Any) -> Gpu:
    processes = None
    if device.get("processes") is not None:
        processes = [
            GpuProcess(pid=each["pid"], memory_bytes=each["memory_bytes"], owner=each["owner"], is_kernel=each["pid"] == kernel)
            for each in device["processes"]
        ]
    fields: dict[str, Any] = {name: device.get(name) for name in Gpu.model_fields if name not in ("processes", "faults")}
    return Gpu(**fields, processes=processes, faults=dict(device.get("faults") or {}))


# -- targets


def target_faces(
    targets: Targets, faults: Sequence[Fault], unasked: Mapping[str, PlaceFault], asked: Mapping[str, float]
) -> list[TargetFace]:
    """By target: `unasked`, why its place could not be asked; `asked`, when it was."""
    wrong = [fault.target for fault in faults if fault.target is not None]
    names = dict.fromkeys([*targets.names, *wrong])
    return [_target(name, targets, faults, unasked.get(name), asked.get(name)) for name in names]


def _target(name: str, targets: Targets, faults: Sequence[Fault], unasked: PlaceFault | None, asked: float | None) -> TargetFace:
    problems = [fault.text for fault in faults if fault.target == name]
    target: Target | None = None if problems else targets.known.get(name)
    files = targets.defined_in.get(name, ())
    return TargetFace(
        name=name,
        state="wrong" if target is None else "fault" if unasked else "ok" if asked is not None else "unasked",
        backend=target.backend if target is not None else None,
        where=where(target) if target is not None else "its table is not right",
        python=target.python if target is not None else None,
        is_default=name == targets.default,
        is_builtin=name in BUILTIN,
        is_own=targets.user_file in files,
        file=str(files[0]) if files else None,
        problems=problems,
        fault=unasked,
        price_per_hour=target.price_per_hour if target is not None else None,
        looked_at=asked,
    )
