"""What a request ends in when it is not answered: a status and a body for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from ..errors import FarcellError
from .schemas import FieldProblem, Problem


class Fault(FarcellError):
    """Becomes the answer `status` with a `Problem`."""

    def __init__(
        self, status: int, reason: str, message: str, fields: Iterable[FieldProblem] = (), runs: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(message=message, reason=reason, fields=list(fields), runs=list(runs))


def unknown(message: str) -> Fault:
    return Fault(404, "unknown", message)


def invalid(error: ValidationError, what: str) -> Fault:
    """Of a request's body or query: all that is wrong with it."""
    fields = [
        FieldProblem(field=".".join(map(str, item["loc"])), message=item["msg"].removeprefix("Value error, "))
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    told = "; ".join(f"{each.field or what}: {each.message}" for each in fields)
    return Fault(400, "invalid", f"The request's {what} is not right: {told}.", fields)
