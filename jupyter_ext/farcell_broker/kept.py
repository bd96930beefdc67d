"""What a lease keeps of its target until it has ended: policy may say something else by then, or nothing, and its host must still
be found, asked and ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farcell.errors import TargetUnavailable
from pydantic import ValidationError

from .policy import SharedTarget

UNKEPT = {"secrets", "price_per_gpu_hour", "price_per_hour"}
"""`secrets` are for a host that starts, and are the broker's own environment."""
_WHERE = ("backend", "host", "state_dir")
_ACCOUNTS = ("account", "pool")

Machine = tuple[str, str | None]
"""Backend and host: whose GPUs they are."""


def kept(target: SharedTarget) -> dict[str, Any]:
    """JSON, for the lease."""
    return target.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=UNKEPT)


def place_of(name: str, definition: Mapping[str, Any] | None, now: SharedTarget | None) -> SharedTarget:
    """How to get there: as policy has it `now` (a new key, a helper that was moved), unless that is another place than the
    lease's own. Raises TargetUnavailable where nothing is known."""
    if definition is None:  # of a broker before 0003
        if now is None:
            raise TargetUnavailable(
                f"Target {name!r} is in the policy no more, and its lease is of an earlier farcell: put the target back until "
                "its last lease has ended."
            )
        return now
    try:
        then = SharedTarget(**{**definition, "name": name})
    except ValidationError as error:
        raise TargetUnavailable(f"Target {name!r}, as it was when it was lent, is not understood any more: {error}") from None
    return now if now is not None and _where(now) == _where(then) else then


def machine_in(definition: Mapping[str, Any] | None) -> Machine | None:
    """`SharedTarget.machine` of what was kept: a target may be called otherwise by now, while its GPUs are lent still."""
    return None if definition is None else (definition.get("backend", "local"), definition.get("host"))


def _where(target: SharedTarget) -> tuple[Any, ...]:
    """Who starts hosts there, and where their runtime folders are, as far as a target says it."""
    login = None if target.isolation in _ACCOUNTS else target.user
    folder = target.env.get("FARCELL_RUNTIME_DIR")
    return (target.isolation, login, folder, *(getattr(target, key) for key in _WHERE))
