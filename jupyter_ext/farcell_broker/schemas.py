"""What the REST API takes, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, le=366 * 86400)]
Word = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

User = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x20\x7f/]+$")]


class LeaseRequest(BaseModel):
    """Body of `POST api/leases`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    target: Word
    gpus: Annotated[int, Field(ge=0, le=1024)] | None = None
    walltime_s: Seconds | None = None
    notebook: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")] | None = None


class Look(BaseModel):
    """Query of `GET api/leases/ID`."""

    model_config = ConfigDict(extra="forbid")

    wait_s: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    seen: Annotated[str, Field(max_length=200)] = ""


class Listing(BaseModel):
    """Query of `GET api/leases`."""

    model_config = ConfigDict(extra="forbid")

    all: Annotated[int, Field(ge=0, le=1)] = 0
    status: Annotated[int, Field(ge=0, le=1)] = 0
    left: Annotated[int, Field(ge=0, le=1)] = 0
    """Also those that are over and whose runs' outputs are kept."""


class Stream(BaseModel):
    """Query of `WS api/leases/ID/stream`."""

    model_config = ConfigDict(extra="forbid")

    fence: Annotated[int, Field(ge=1, le=1 << 62)]


class ShareRequest(BaseModel):
    """Body of `POST api/shares`: of a `run`, whose `outputs` are nbformat's, or of the session of a `lease`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    readers: Annotated[list[User], Field(min_length=1, max_length=100)]
    outputs: Annotated[list[dict[str, Any]], Field(max_length=100_000)] | None = None
    lasts_s: Annotated[float, Field(ge=1, allow_inf_nan=False, le=366 * 86400)] = 7 * 86400.0
    target: Word | None = None
    lease: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> ShareRequest:
        of_run = (self.run, self.outputs)
        if (self.lease is None) == (None in of_run) or (self.lease is not None and of_run != (None, None)):
            raise ValueError("a run with its outputs, or a lease")
        return self


class ValuesRequest(BaseModel):
    """Body of `POST api/shares/ID/values`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    names: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=100)] = []


class AuditQuery(BaseModel):
    """Query of `GET api/audit`; the newest first."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    before: Annotated[int, Field(ge=1, le=1 << 62)] | None = None
    who: Annotated[str, Field(max_length=255)] | None = None
    action: Annotated[str, Field(max_length=100)] | None = None
    lease_id: Annotated[str, Field(max_length=64)] | None = None
    since: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    until: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class AccountsQuery(BaseModel):
    """Query of `GET api/accounts`; days are `2027-01-31`, or ISO times. This month without `since`."""

    model_config = ConfigDict(extra="forbid")

    by: Literal["user", "group", "notebook", "target", "day", "month"] = "day"
    since: Annotated[str, Field(max_length=40)] | None = None
    until: Annotated[str, Field(max_length=40)] | None = None
    user: Annotated[str, Field(max_length=255)] | None = None
    target: Annotated[str, Field(max_length=255)] | None = None
    all: Annotated[int, Field(ge=0, le=1)] = 0
    format: Literal["json", "csv"] = "json"


class Fault(BaseModel):
    code: str
    message: str


class Problem(BaseModel):
    """All answers that are a refusal."""

    error: Fault


def faults(errors: Sequence[Mapping[str, Any]]) -> str:
    """In a sentence, without the values: an environment may hold secrets."""
    return "; ".join(f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}" for each in errors)
