"""How people are kept apart on a target, one way a file."""

from __future__ import annotations

from ..errors import Refused
from .account import OwnAccount, PoolAccount
from .base import Host, Isolation, Wanted
from .container import Container
from .unisolated import Unisolated

__all__ = ["KINDS", "Host", "Isolation", "Wanted", "isolation_named"]

KINDS: dict[str, type[Isolation]] = {"account": OwnAccount, "pool": PoolAccount, "container": Container, "none": Unisolated}


def isolation_named(name: str) -> Isolation:
    """Raises Refused for a name that is none of KINDS."""
    if name not in KINDS:
        raise Refused(f"Unknown isolation {name!r}. Known: {', '.join(KINDS)}.")
    return KINDS[name]()
