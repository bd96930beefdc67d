"""The table of paths: what each asks and answers, and what the caller must be allowed to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from . import schemas as s

if TYPE_CHECKING:
    from .service import Service

Action = Literal["read", "write", "execute"]
RESOURCE = "farcell"
"""What Jupyter's authorizer is asked for."""


@dataclass(frozen=True)
class Request:
    """One that has been checked. `path` has the parts in braces; `query` and `body` are of the route's models."""

    path: dict[str, str]
    query: Any
    body: Any


@dataclass(frozen=True)
class Route:
    """`call` runs on tornado's loop; it raises Fault for what is not answered. `answer` None: there is no body."""

    method: str
    path: str
    action: Action
    call: Callable[[Service, Request], Awaitable[BaseModel | None]]
    summary: str
    answer: type[BaseModel] | None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()


ROUTES: tuple[Route, ...] = (
    Route("GET", "snapshot", "read", lambda to, _: to.snapshot(), "All that the panel shows", s.Snapshot),
    Route(
        "POST", "watch", "read", lambda to, asked: to.watch(asked.body), "Have changes looked for, for a while", s.Watch,
        body=s.WatchRequest,
    ),
    Route("DELETE", "watch/{page}", "read", lambda to, asked: to.unwatch(asked.path["page"]), "Look no more", None, 204),
    Route("POST", "refresh", "read", lambda to, _: to.refresh(), "Ask all places now", s.Refreshed, 202),
    Route("GET", "targets", "read", lambda to, _: to.targets.listed(), "All targets, and what is wrong with them", s.TargetList),
    Route("GET", "targets/schema", "read", lambda to, _: to.targets.schema(), "What a target's keys may be", s.TargetSchema),
    Route(
        "POST", "targets", "write", lambda to, asked: to.targets.add(asked.body), "Define a target", s.TargetDetail, 201,
        body=s.NewTarget, problems=(409, 503),
    ),
    Route(
        "GET", "targets/{name}", "write", lambda to, asked: to.targets.detail(asked.path["name"]), "One target, with its keys",
        s.TargetDetail, problems=(404,),
    ),
    Route(
        "PUT", "targets/{name}", "write", lambda to, asked: to.targets.replace(asked.path["name"], asked.body),
        "Put other keys in the place of a target's", s.TargetDetail, body=s.TargetKeys, problems=(404, 503),
    ),
    Route(
        "DELETE", "targets/{name}", "write", lambda to, asked: to.targets.remove(asked.path["name"]), "Take a target out", None,
        204, problems=(404, 409, 503),
    ),
    Route(
        "POST", "targets/{name}/test", "execute", lambda to, asked: to.test(asked.path["name"]),
        "Start a session there, run a cell, end it", s.Task, 202, problems=(404, 409),
    ),
    Route("GET", "tasks/{id}", "read", lambda to, asked: to.task(asked.path["id"]), "How far a task is", s.Task, problems=(404,)),
    Route("GET", "sessions", "read", lambda to, _: to.sessions(), "All sessions that can be seen", s.SessionList),
    Route(
        "GET", "sessions/{id}", "read", lambda to, asked: to.session(asked.path["id"]), "One session", s.SessionDetail,
        problems=(404,),
    ),
    Route(
        "GET", "sessions/{id}/variables", "read", lambda to, asked: to.variables(asked.path["id"]), "What a session holds",
        s.Variables, problems=(404, 409, 503),
    ),
    Route(
        "POST", "sessions/{id}/stop", "execute", lambda to, asked: to.stop(asked.path["id"], asked.body), "End a session", s.Done,
        body=s.StopRequest, problems=(404, 409, 503),
    ),
    Route(
        "POST", "sessions/{id}/interrupt", "execute", lambda to, asked: to.interrupt(asked.path["id"], asked.body),
        "Interrupt what runs there", s.Done, body=s.InterruptRequest, problems=(404, 409, 503),
    ),
    Route(
        "POST", "sessions/{id}/restart", "execute", lambda to, asked: to.restart(asked.path["id"], asked.body),
        "Put a new kernel in the place of its kernel", s.Done, body=s.RestartRequest, problems=(404, 409, 503),
    ),
    Route(
        "POST", "sessions/{id}/cancel", "execute", lambda to, asked: to.cancel(asked.path["id"], asked.body),
        "Take a run that waits, or a job, out of its queue", s.Done, body=s.CancelRequest, problems=(404, 409, 503),
    ),
    Route(
        "POST", "sessions/{id}/keep", "execute", lambda to, asked: to.keep(asked.path["id"]),
        "Have a session that nobody uses go on as if it was used now", s.Done, problems=(404, 409, 503),
    ),
    Route(
        "GET", "runs", "read", lambda to, asked: to.runs.page(asked.query), "Runs, the newest first", s.RunList, query=s.RunQuery,
        problems=(503,),
    ),
    Route("GET", "runs/{id}", "read", lambda to, asked: to.runs.one(asked.path["id"]), "One run", s.RunFace, problems=(404, 503)),
    Route(
        "GET", "runs/{id}/log", "read", lambda to, asked: to.runs.log(asked.path["id"], asked.query), "What a run has shown",
        s.RunLog, query=s.LogQuery, problems=(404, 503),
    ),
    Route(
        "GET", "telemetry", "read", lambda to, asked: to.telemetry(asked.query), "GPUs of sessions, of the last five minutes",
        s.Telemetry, query=s.TelemetryQuery, problems=(404,),
    ),
    Route(
        "GET", "usage", "read", lambda to, asked: to.usage(asked.query), "What was used today and this month", s.Usage,
        query=s.UsageQuery, problems=(503,),
    ),
)  # fmt: skip
