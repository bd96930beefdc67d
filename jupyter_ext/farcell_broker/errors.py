"""What the broker says no to, by who must act.

    BrokerError
    |-- Refused             the caller: policy says no, and waiting would not help
    |-- Forbidden           the caller: it is somebody else's, or for administrators
    |-- NoSuchLease         the caller: there is none with this id
    |-- NoSuchShare         the caller: there is none with this id for who asks
    |-- Stale               the caller: the lease has been granted anew or has ended since the fence was read
    |-- PolicyError         the administrator: the policy's file; `faults` are all of them
    `-- DatabaseError       the administrator: the database cannot be reached or used; `is_passing` when asking again may help

A message says what happened, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class BrokerError(Exception):
    """Base of all of them; `code` is what the REST API calls it."""

    code = "broker"


class Refused(BrokerError):
    """The request was turned down; nothing is queued."""

    code = "refused"


class Forbidden(BrokerError):
    """Who asks may not."""

    code = "forbidden"


class NoSuchLease(BrokerError):
    """Unknown, or not told to who asks."""

    code = "not-found"


class NoSuchShare(BrokerError):
    """Unknown, expired, or for others."""

    code = "not-found"


class Away(BrokerError):
    """The target's machine, or the session on it, cannot be reached just now."""

    code = "target"


class Stale(BrokerError):
    """The fence is not the lease's own: whoever holds it must let go of the GPUs and do nothing more."""

    code = "stale"


class PolicyError(BrokerError):
    """The policy's file is not right."""

    code = "policy"

    def __init__(self, path: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"The policy {path} is not right:\n" + "\n".join(f"  {fault}" for fault in faults))


class DatabaseError(BrokerError):
    """The database did not do what was asked; nothing of it was written."""

    code = "database"

    def __init__(self, text: str, is_passing: bool = False) -> None:
        self.is_passing = is_passing
        super().__init__(text)
