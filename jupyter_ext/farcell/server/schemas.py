"""Every request and answer of the REST interface. The OpenAPI document and the front end's types are made from these.

Times (`_at`, `started`, `ended`, `until`) are UTC seconds since the epoch by the clock of whoever is named; sizes are bytes,
durations seconds. A value is null where it is not known or does not apply, never a pleasant default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..ledger.accounts import UsageRow

PAGE = r"[A-Za-z0-9._~-]{1,64}"
SHORTEST_WATCH_S, LONGEST_WATCH_S = 1.0, 600.0
MOST_RUNS, MOST_OUTPUTS = 200, 1000

Page = Annotated[str, StringConstraints(pattern=f"^{PAGE}$")]
"""What a browser page calls itself: any word that no other page uses."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
"""A target's name."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


# -- what goes wrong


class FieldProblem(_Answer):
    field: str
    """Where in the request, its parts joined by dots: `keys.keep_s`, `limit`. Empty: the request as a whole."""
    message: str


class Problem(_Answer):
    """The body of every answer whose status is 400 or above. (A request that no handler takes has Jupyter's own: `message` and
    `reason` too.)"""

    message: str
    """For a person: what happened, where, and what to do next."""
    reason: str | None = None
    """A word for programs: `invalid`, `unknown`, `exists`, `runs-lost`, `login-refused`, `unreachable`, `no-ledger`, ..."""
    fields: list[FieldProblem] = []
    """With 400: everything that is wrong, each where it is."""
    runs: list[str] = []
    """With 409 `runs-lost`: ids of the runs that would be lost; asked again with `yes` they are."""


# -- watching


class WatchRequest(_Asked):
    """A lease: while any page has one, places and hosts are looked at and the event bus tells of changes. Renewed by asking
    again before it runs out."""

    page: Page
    within_s: float = Field(60.0, ge=SHORTEST_WATCH_S, le=LONGEST_WATCH_S)
    """How long it holds unless it is renewed. Renew it at half of that, also while a page is hidden only if it needs news."""
    snapshot: bool = False
    """Whether the answer is to bring the snapshot along: for who begins to watch, and would fetch it next."""


# -- places and targets


class PlaceFault(_Answer):
    """A place that could not be asked for its sessions."""

    targets: list[str]
    """Those that lead there."""
    reason: str
    """`needs-authentication`, `timeout`, `unlistable`, or `unreachable`."""
    message: str
    """With what to do next; for `needs-authentication` it names the magic that logs in."""
    at: float


class TargetFace(_Answer):
    """A target as it is listed."""

    name: str
    state: Literal["ok", "unasked", "fault", "wrong"]
    """`wrong`: its table is not right (`problems`), and no cell runs anywhere until it is. `fault`: its place could not be asked
    (`fault`). `unasked`: nobody has looked yet, or its backend has no list of sessions. `ok`: it was asked and has answered."""
    backend: str | None
    where: str
    """The machine, in a person's words."""
    python: str | None
    is_default: bool
    is_builtin: bool
    """Always there, whatever the files say; `local` can be given other keys, none of them can be removed."""
    is_own: bool
    """Defined in this user's own file, which this interface writes; another file's can only be replaced by one's own."""
    file: str | None
    """Where it is defined; null for a built-in one."""
    problems: list[str]
    fault: PlaceFault | None
    price_per_hour: float | None
    looked_at: float | None
    """When its place answered last."""


class TargetDetail(TargetFace):
    keys: dict[str, Any]
    """As its file has them (docs/targets.md), for the form. Empty where its table is not right."""
    text: str | None
    """The table as TOML text, where its file can be read."""


class TargetList(_Answer):
    default: str
    currency: str
    file: str
    """This user's own, which this interface writes."""
    targets: list[TargetFace]
    problems: list[str]
    """What is wrong in the files and belongs to no target."""


class TargetKeys(_Asked):
    """The body that replaces a target: all of its keys, as `GET targets/schema` has them. What is left out, or null, has its
    default."""

    keys: dict[str, Any]


class NewTarget(TargetKeys):
    name: Name


class TargetSchema(_Answer):
    """For a form."""

    json_schema: dict[str, Any]
    """JSON Schema of the keys; each has `title`, `description` and, where a backend alone uses it, `x-backends`."""
    backends: list[str]
    order: list[str]
    """The keys in the order of a form: what everybody needs first."""
    builtin: list[str]
    """Names that are always there."""


# -- sessions


SessionState = Literal["waiting", "starting", "idle", "busy", "dead", "silent", "unheard", "other-version", "over"]
SessionAction = Literal["stop", "interrupt", "restart", "cancel"]


class SessionFace(_Answer):
    """A remote session: one kernel host, its kernel and what it holds."""

    id: str
    target: str
    """What its notebook calls it; it need not be a target of this user's files any more."""
    backend: str
    machine: str
    """In a person's words."""
    is_here: bool
    """On this server's machine."""
    job: str | None
    """A scheduler's id."""
    state: SessionState
    """`waiting`: its job is in a scheduler's queue. `dead`: its kernel has ended, restart makes another. `silent`: its host
    lives and does not answer. `unheard`: it was found and is being asked, has not answered yet. `other-version`: of another
    farcell, it can only be stopped. `over`: its job is, with results that nobody has taken."""
    detail: str | None
    """More of that in words: why a job waits, or how it ended."""
    notebook: str | None
    """As the session knows it: a path, or a kernel's id."""
    run: str | None
    """The run in progress."""
    waiting_runs: list[str]
    untaken_runs: list[str]
    """Over, with results that no notebook has taken."""
    runs_left: list[str]
    """What would be lost if it was stopped now."""
    is_driven: bool | None
    """Whether a notebook is connected."""
    observers: int | None
    """How many others look at it, this server included."""
    idle_since: float | None
    """Since when nothing was asked of it, by this server's clock. Null while it is busy."""
    ends_at: float | None
    """When it ends by itself if nobody does anything, by this server's clock. Null: not as far as it is known."""
    ends_why: Literal["idle", "unattended", "wall-time"] | None
    """`idle`: nothing was run on it for the target's `idle_timeout_s`. `unattended`: no notebook is connected, for `keep_s`.
    `wall-time`: that of its job is over; it is saved just before."""
    ends_lead_s: float | None
    """How long before its end it is time to tell of it."""
    started: float | None
    """By its own machine's clock."""
    memory_bytes: int | None
    """Its kernel and its host."""
    python: str | None
    """The kernel's interpreter."""
    kernel_pid: int | None
    epoch: int | None
    """Rises at each restart of its kernel."""
    version: str | None
    """Of its farcell."""
    actions: list[SessionAction]
    """What can be asked of it as it is."""
    is_live: bool
    """Whether it is watched through a connection, so that changes show at once; else it is asked now and then."""
    as_of: float
    """When it was last heard of, by this server's clock."""


class SessionList(_Answer):
    server: str
    revision: int
    sessions: list[SessionFace]
    faults: list[PlaceFault]


class SessionDetail(SessionFace):
    connections: list[str] | None
    """Role of each."""
    journal_bytes: int | None
    direct: bool | None
    """Whether runs go past zmq."""
    capabilities: dict[str, Any] | None
    runtime: str


class Variable(_Answer):
    """A variable that a session holds."""

    name: str
    type: str
    shape: str | None
    """Of an array or a table."""
    bytes: int | None
    preview: str | None
    """The beginning of its repr."""


class Variables(_Answer):
    session: str
    variables: list[Variable] | None
    """Null while something runs there, for which the kernel is not to wait, or while it starts."""


class StopRequest(_Asked):
    yes: bool = False
    """Also when runs, or results that nobody took, are lost with it."""


class RestartRequest(_Asked):
    yes: bool = False
    """Also when a run is in progress or waits; all variables there are lost in any case."""


class InterruptRequest(_Asked):
    run: str | None = Field(None, max_length=200)
    """Only if this is the run in progress, or waits: then it is cancelled. Null: whatever runs."""


class CancelRequest(_Asked):
    run: str | None = Field(None, max_length=200)
    """A run that waits on the session. Null: the session's job, which waits in a scheduler's queue."""
    yes: bool = False
    """Of a job: also when runs wait for it."""


class Done(_Answer):
    """What became of an action."""

    session: str
    done: Literal["stopped", "interrupted", "restarted", "cancelled", "kept", "nothing"]
    """`nothing`: there was nothing to interrupt any more."""


# -- runs


class LiveRun(_Answer):
    """A run that a living session knows of and has not got rid of."""

    id: str
    session: str
    target: str
    notebook: str | None
    state: Literal["queued", "running", "untaken"]
    """`untaken`: over, and no notebook has taken its results yet."""
    since: float | None
    """Since when it has been seen in this state, by this server's clock: later than the truth by what it takes to look."""
    seen_from_start: bool
    """Whether `since` was watched, so that an elapsed time is right; else it had been so for a while."""
    started: float | None
    """Of the one in progress, by its own machine's clock."""
    cell: str | None
    """The id of its cell in the notebook, where the front end gives one (`metadata.cellId` of its request)."""
    request: str | None
    """The `msg_id` of the notebook's own request, where `cell` is known."""
    sent_bytes: int | None
    """What was sent for it so far. Null while it waits, and once it is over."""
    arrived_bytes: int | None
    """While its buffers are on their way: how much of them is there, what was there before included."""
    arriving_bytes: int | None
    """Of that, the whole."""


class EndedRun(_Answer):
    """A run that was over a moment ago, as its session tells before any ledger has it."""

    id: str
    session: str
    cell: str | None
    request: str | None
    """The `msg_id` of the notebook's own request."""
    sent_bytes: int
    received_bytes: int | None
    """Null where it did not come to its end."""


class RunFace(_Answer):
    """A run as the ledger has it, with what its session says if that lives."""

    id: str
    session: str | None
    target: str
    notebook: str | None
    cell: str | None
    """The id of its cell in the notebook, where the front end gives one."""
    said_by: str | None
    """The username in the message that ran it, where people edit a notebook together. Its sender chose it: it permits nothing."""
    state: str
    """`queued`, `running`, then `ok`, `error`, `aborted`, `refused`, `died`, `killed`, `ended` or `unknown`."""
    is_live: bool
    """Its session lives, so its log can be read."""
    started: float | None
    ended: float | None
    seconds: float | None
    gpu_seconds: float | None
    sent_bytes: int | None
    received_bytes: int | None
    peak_gpu_bytes: int | None
    gpu_utilisation: float | None
    """Mean, 0 to 1."""
    part: float | None
    """Of its session's whole time, 0 to 1."""
    cost: float | None
    """Its share, in the currency of the targets; null where no price is known."""


class RunList(_Answer):
    """The newest first."""

    runs: list[RunFace]
    next: str | None
    """`before` of the next page; null at the end."""
    currency: str


class Output(_Answer):
    """One message of the run, as nbformat has outputs: `stream` has `name` and `text`, the others `data`, `metadata`; `error`
    `ename`, `evalue`, `traceback`; `clear_output` `wait`."""

    number: int
    """In the session's journal; rises."""
    type: Literal["stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"]
    name: str | None = None
    text: str | None = None
    data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    display_id: str | None = None
    execution_count: int | None = None
    ename: str | None = None
    evalue: str | None = None
    traceback: list[str] | None = None
    wait: bool | None = None
    left_out_bytes: int | None = None
    """What it shows is larger than an answer may be; this many bytes of it are not here."""


class RunLog(_Answer):
    run: str
    session: str
    target: str
    outputs: list[Output]
    next: int | None
    """`after` of the next page; null when this is all that there is so far."""
    is_over: bool
    is_whole: bool
    """False when the session's journal has dropped some of it, for its quota."""


# -- telemetry


class GpuProcess(_Answer):
    pid: int
    memory_bytes: int | None
    owner: Literal["session", "user", "other", "unknown"]
    """`session`: of this session; `user`: of the same person; `other`: of somebody else."""
    is_kernel: bool


class Gpu(_Answer):
    """A value is null where the board has none, or `faults` says why it cannot be read."""

    vendor: str
    index: int
    uuid: str | None
    """The same board seen by two sessions of a machine has the same."""
    name: str | None
    utilisation_percent: int | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    temperature_c: int | None
    power_w: float | None
    power_limit_w: float | None
    processes: list[GpuProcess] | None
    """Null: who is on it cannot be told."""
    error: str | None
    """The whole board cannot be read."""
    faults: dict[str, str]


class SessionGpus(_Answer):
    """The GPUs that a session sees, as of its latest reading."""

    session: str
    target: str
    state: Literal["devices", "none", "error", "unasked"]
    """`none`: it has no GPU. `error`: they cannot be read. `unasked`: there is no connection to ask over, or no answer yet;
    `message` says which."""
    message: str | None
    own_memory_bytes: int | None
    drivers: dict[str, str]
    """Version by vendor."""
    gpus: list[Gpu]
    at: float | None


class GpuSample(_Answer):
    at: float
    utilisation_percent: int | None
    memory_used_bytes: int | None
    temperature_c: int | None
    power_w: float | None


class GpuHistory(_Answer):
    vendor: str
    index: int
    uuid: str | None
    samples: list[GpuSample]
    """Oldest first, five minutes at most, from when it has been watched."""


class SessionTelemetry(SessionGpus):
    history: list[GpuHistory]


class Telemetry(_Answer):
    server: str
    revision: int
    sessions: list[SessionTelemetry]


# -- usage


class Spent(_Answer):
    limit: float | None
    cost: float
    unpriced_s: float


class BudgetFace(_Answer):
    target: str | None
    """Null: all targets together, which only warns."""
    state: Literal["ok", "warn", "refuse", "unknown"]
    text: str
    """Empty when there is nothing to say."""
    day: Spent | None
    month: Spent | None


class Usage(_Answer):
    by: Literal["target", "day", "notebook"]
    currency: str
    today: list[UsageRow]
    month: list[UsageRow]
    budgets: list[BudgetFace]


# -- tasks


class Step(_Answer):
    step: str
    seconds: float


class Task(_Answer):
    """Something that was asked for and takes its time; kept for a while after its end."""

    id: str
    kind: Literal["test-target"]
    target: str
    state: Literal["running", "ok", "failed"]
    doing: str | None
    """The step that goes on."""
    steps: list[Step]
    message: str | None
    """Why it failed, and what to do next."""
    started: float
    ended: float | None


# -- the whole


class Snapshot(_Answer):
    """All that the panel shows at one moment. Answered with `ETag`; asked again with `If-None-Match` it is 304 while nothing has
    changed."""

    server: str
    """Of this server's process: another one means that it was restarted and that `revision` began anew."""
    revision: int
    """Rises with every change of what is below."""
    version: str
    watching: int
    """How many pages have a lease. 0: nothing is looked at, and what is below is as old as `looked_at` says."""
    looked_at: float | None
    """When all places were last asked."""
    root: str | None
    """The folder below which this server's notebooks lie, as sessions name them. Null: not known."""
    default_target: str
    currency: str
    targets: list[TargetFace]
    target_problems: list[str]
    sessions: list[SessionFace]
    faults: list[PlaceFault]
    runs_in_progress: list[LiveRun]
    runs_ended: list[EndedRun]
    """Of the last seconds, by session, the newest at the end."""
    telemetry: list[SessionGpus]
    tasks: list[Task]


class Watch(_Answer):
    page: str
    until: float
    """When it runs out, by this server's clock."""
    server: str
    revision: int
    snapshot: Snapshot | None
    """Of this revision; null if it was not asked for."""


class Refreshed(_Answer):
    server: str
    revision: int


class Changed(_Answer):
    """What the event bus tells; nothing else."""

    server: str
    revision: int


# -- queries: what is not named here is passed over, since Jupyter's clients add words of their own


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RunQuery(_Query):
    limit: int = Field(50, ge=1, le=MOST_RUNS)
    before: str | None = Field(None, pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?~[A-Za-z0-9._-]{1,200}$")
    """`next` of the page before."""
    target: Word | None = None
    session: Word | None = None
    state: Word | None = None


class LogQuery(_Query):
    after: int = Field(0, ge=0, lt=1 << 53)
    """`next` of the page before."""
    limit: int = Field(200, ge=1, le=MOST_OUTPUTS)


class TelemetryQuery(_Query):
    session: Word | None = None
    since: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Only samples after it, in seconds since the epoch."""


class UsageQuery(_Query):
    by: Literal["target", "day", "notebook"] = "target"
