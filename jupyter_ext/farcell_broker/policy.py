"""Who may use what: one TOML file, checked whole and read again when it changes.

    currency = "EUR"                    # of all prices
    timezone = "Europe/Berlin"          # in which days and months of quotas begin; else UTC

    [admins]
    groups = ["staff"]

    [targets.pool]                      # the keys of targets.toml, and how it is shared
    backend = "ssh"
    host = "gpu1"
    gpus = 8
    isolation = "account"
    price_per_gpu_hour = 1.5

    [groups.ml]                         # what each member may
    targets = ["pool"]
    gpus = 4
    gpu_hours_per_day = 48
    [groups.ml.together]                # what all members may at once, or in a day
    gpus = 6

    [users.ada]                         # replaces what her groups say, key by key
    gpus = 8

What several groups say of one user is put together in the user's favour: all their targets, the greatest of each number, no limit
where one of them sets none.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from farcell.backends.base import backend_names
from farcell.backends.resources import clock, seconds
from farcell.targets import KEYS, Target
from farcell.tomlplaces import choices, line_numbers, unknown
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .errors import PolicyError, Refused
from .lease import Who

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _span(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError("must be a time such as '30m', '2h' or '7d'")
    return float(seconds(value))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError) as error:
        raise ValueError(f"is no time zone that this machine knows ({error})") from None
    return name


Span = Annotated[float, BeforeValidator(_span)]
"""Seconds; written as `30m`, `2h`, `7d`."""
Amount = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Isolation = Literal["account", "pool", "container", "none"]
HELPER = "/usr/local/sbin/farcell-broker-helper"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SharedTarget(Target):
    """A target that the broker lends. `gpus` is how many devices it has to lend, not how many one asks for."""

    slots: int | None = Field(default=None, gt=0, strict=True)
    """How many leases at once; None: as many as there are GPUs."""
    devices: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = ()
    """The indexes of the GPUs to lend; all from 0 on when empty."""
    isolation: Isolation = "account"
    accounts: tuple[Name, ...] = ()
    """Unix accounts of isolation "pool"."""
    account_name: str = "{user}"
    """Of isolation "account": the Unix account of a user whom `account_names` does not name."""
    account_names: dict[Name, Name] = Field(default_factory=dict)
    helper: Annotated[str, Field(pattern=r"^/[A-Za-z0-9/._-]+$")] = HELPER
    """On the target, of isolation "account" and "pool"."""
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9/][A-Za-z0-9/._:@-]*$")] | None = None
    """Of isolation "container"."""
    engine: Literal["podman", "docker", "apptainer"] = "podman"
    """Of isolation "container"."""
    price_per_gpu_hour: Price | None = None

    @model_validator(mode="after")
    def _lendable(self) -> SharedTarget:
        if self.devices and len(set(self.devices)) != len(self.devices):
            raise ValueError("devices names one twice")
        if self.devices and self.gpus not in (None, len(self.devices)):
            raise ValueError(f"gpus is {self.gpus}, but devices names {len(self.devices)}: leave gpus out")
        if not self.device_indexes and self.slots is None:
            raise ValueError("needs gpus, how many may be lent, or slots, how many leases at once")
        if self.isolation == "pool" and not self.accounts:
            raise ValueError('isolation "pool" needs accounts, the Unix accounts that are leased with the GPUs')
        if self.accounts and self.isolation != "pool":
            raise ValueError(f'accounts are for isolation "pool", and this is {self.isolation!r}')
        if len(set(self.accounts)) != len(self.accounts):
            raise ValueError("accounts names one twice")
        if "{user}" not in self.account_name:
            raise ValueError("account_name must have {user} in it, or all users would share one account")
        if len(set(self.account_names.values())) != len(self.account_names):
            raise ValueError("account_names gives one account to two users")
        if self.isolation in ("account", "pool", "container") and self.backend in set(backend_names()) - {"local", "ssh"}:
            raise ValueError(
                f"isolation {self.isolation!r} is for the backends local and ssh, not {self.backend!r}: see docs/security.md"
            )
        if self.isolation == "container" and not self.image:
            raise ValueError('isolation "container" needs image')
        if self.budget is not None:
            raise ValueError("budgets are of users and groups here: money_per_day, money_per_month")
        return self

    def account_of(self, user: str) -> str:
        """The user's own Unix account; raises Refused where that is somebody else's."""
        if user in self.account_names:
            return self.account_names[user]
        name = self.account_name.replace("{user}", user)
        if name in self.account_names.values():
            raise Refused(f"The account {name!r} on {self.name!r} is another user's: account_names must say which is {user!r}'s.")
        return name

    @property
    def device_indexes(self) -> tuple[int, ...]:
        return self.devices or tuple(range(self.gpus or 0))

    @property
    def machine(self) -> tuple[str, str | None]:
        """Whose GPUs and accounts these are: two targets of one machine lend the same ones."""
        return self.backend, self.host

    @property
    def capacity(self) -> int:
        """Units that can be held at once: GPUs, or slots where there are none."""
        return len(self.device_indexes) or self.slots or 0

    def price_per_hour_of(self, gpus: int) -> float:
        """Of a lease of so many GPUs, in the policy's currency."""
        return (self.price_per_hour or 0.0) + gpus * (self.price_per_gpu_hour or 0.0)

    def lent(self, gpus: int, walltime_s: float | None = None) -> Target:
        """As farcell's own, for one lease: the scheduler is asked for its GPUs and its wall time only."""
        own = {key: getattr(self, key) for key in ("name", *KEYS)}
        limit = {} if walltime_s is None else {"walltime": clock(max(1, math.ceil(walltime_s)))}
        return Target(**{**own, "gpus": gpus or None, **limit})


class Limits(_Table):
    """What may be used; None is no limit. Money is in the policy's currency."""

    gpus: Annotated[int, Field(ge=0, strict=True)] | None = None
    """At once, on all targets together."""
    gpu_hours_per_day: Amount | None = None
    gpu_hours_per_month: Amount | None = None
    money_per_day: Amount | None = None
    money_per_month: Amount | None = None


class Rule(Limits):
    """What one user may, or each member of a group."""

    targets: tuple[Name, ...] | None = None
    max_walltime_s: Span | None = Field(default=None, alias="max_walltime")
    weight: Amount | None = None
    """Of fair share; 1 when nobody says."""
    priority: Annotated[int, Field(strict=True)] | None = None
    """Higher goes first, whatever has been used; 0 when nobody says."""
    waiting: Annotated[int, Field(gt=0, strict=True)] | None = None
    """Requests in queues at once; 20 when nobody says."""


class Group(Rule):
    """A group of the hub's; `together` is what all its members may."""

    together: Limits = Limits()


class FairShare(_Table):
    half_life_s: Span = Field(default=7 * 86400.0, alias="half_life")
    """After this time what was used counts half."""


class Idle(_Table):
    after_s: Span | None = Field(default=None, alias="after")
    """A lease nobody has used for so long is reclaimed; None: never."""
    warning_s: Span = Field(default=300.0, alias="warning")
    """Between the warning and the end, also of other ends that are known before."""
    unattached_s: Span = Field(default=900.0, alias="unattached")
    """A lease that nobody has attached to for so long after its host came up is ended."""


class Left(_Table):
    """What is kept for its user of a lease that is over: what its runs had shown, if nobody has taken their results."""

    keep_s: Span = Field(default=7 * 86400.0, alias="keep")
    mib: Annotated[float, Field(ge=0, le=64, strict=True)] = 16.0
    """Of one lease, the newest of it; 0 keeps nothing."""


class Admins(_Table):
    users: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()


class Reservation(_Table):
    """GPUs of a target that are lent to these only, from `start` to `end`."""

    target: Name
    gpus: Annotated[int, Field(gt=0, strict=True)]
    start: datetime
    end: datetime
    users: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _meant(self) -> Reservation:
        if not (self.users or self.groups):
            raise ValueError("needs users or groups, for whom it is")
        if (self.start.tzinfo is None) != (self.end.tzinfo is None):
            raise ValueError("start and end must both have an offset from UTC, or neither")
        if self.start >= self.end:
            raise ValueError("ends before it starts")
        return self

    def admits(self, user: str, groups: Iterable[str]) -> bool:
        return user in self.users or not set(self.groups).isdisjoint(groups)


@dataclass(frozen=True)
class Allowance:
    """What one user may, all rules put together. None is no limit."""

    targets: tuple[str, ...]
    gpus: int | None
    gpu_hours_per_day: float | None
    gpu_hours_per_month: float | None
    money_per_day: float | None
    money_per_month: float | None
    max_walltime_s: float | None
    weight: float
    priority: int
    waiting: int


WAITING = 20


class Policy(_Table):
    """The whole file."""

    currency: Annotated[str, Field(max_length=8, pattern=r"^\S*$")] = ""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    targets: Mapping[str, SharedTarget] = Field(default_factory=dict)
    groups: Mapping[str, Group] = Field(default_factory=dict)
    users: Mapping[str, Rule] = Field(default_factory=dict)
    everyone: Rule = Rule()
    """What holds for users of whom, and of whose groups, nothing is said."""
    fair_share: FairShare = FairShare()
    idle: Idle = Idle()
    left: Left = Left()
    reservations: tuple[Reservation, ...] = ()
    admins: Admins = Admins()

    @property
    def zone(self) -> tzinfo:
        return timezone.utc if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def is_admin(self, who: Who) -> bool:
        return who.is_admin or who.name in self.admins.users or not who.groups.isdisjoint(self.admins.groups)

    def allowance(self, user: str, groups: Iterable[str]) -> Allowance:
        """By the user's own table, key by key; else by the groups', each number the most generous; else by [everyone]."""
        own = self.users.get(user)
        shared = [self.groups[name] for name in sorted(groups) if name in self.groups]

        def number(key: str) -> Any:
            if own is not None and getattr(own, key) is not None:
                return getattr(own, key)
            said = [getattr(group, key) for group in shared]
            if not said:
                return getattr(self.everyone, key)
            return None if None in said else max(said)

        def known(key: str, otherwise: Any) -> Any:
            """The same where None means that nobody has said it."""
            rules: Sequence[Rule] = [own] if own is not None and getattr(own, key) is not None else shared or [self.everyone]
            said = [getattr(rule, key) for rule in rules if getattr(rule, key) is not None]
            return max(said) if said else otherwise

        if own is not None and own.targets is not None:
            targets = own.targets
        elif shared:
            targets = tuple(name for group in shared for name in group.targets or ())
        else:
            targets = self.everyone.targets or ()
        return Allowance(
            targets=tuple(name for name in self.targets if name in targets),
            **{key: number(key) for key in (*Limits.model_fields, "max_walltime_s")},
            weight=known("weight", 1.0),
            priority=known("priority", 0),
            waiting=known("waiting", WAITING),
        )

    def charged(self, user: str, groups: Iterable[str], target: str) -> tuple[str, ...]:
        """The groups that a lease counts for: the user's that give the target; all of the user's that are known if none does."""
        known = sorted(name for name in groups if name in self.groups)
        return tuple(name for name in known if target in (self.groups[name].targets or ())) or tuple(known)

    def period_starts(self, now: float) -> tuple[float, float]:
        """When this day and this month began, by the policy's time zone."""
        today = datetime.fromtimestamp(now, self.zone)
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight.timestamp(), midnight.replace(day=1).timestamp()

    def next_day(self, now: float) -> float:
        tomorrow: date = datetime.fromtimestamp(now, self.zone).date() + timedelta(days=1)
        return datetime.combine(tomorrow, time(), self.zone).timestamp()

    def span(self, reservation: Reservation) -> tuple[float, float]:
        """Epoch seconds; times without an offset are of the policy's time zone."""
        start, end = (each if each.tzinfo else each.replace(tzinfo=self.zone) for each in (reservation.start, reservation.end))
        return start.timestamp(), end.timestamp()


def read(path: Path) -> Policy:
    """The file, or PolicyError with every fault that it has."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(str(path), [f"it cannot be read: {error}"]) from None
    return parse(text, str(path))


def parse(text: str, path: str = "policy.toml") -> Policy:
    """This text, or PolicyError with every fault that it has; `path` is what messages call it."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(path, [f"{path}: {error}"]) from None
    faults = _Faults(text)
    targets = tables.get("targets")
    if isinstance(targets, dict):
        tables = {**tables, "targets": {name: _named(name, table, faults) for name, table in targets.items()}}
    try:
        policy = Policy(**tables)
    except ValidationError as error:
        faults.invalid(error)
        raise PolicyError(path, faults.texts) from None
    faults.names(policy)
    if faults.texts:
        raise PolicyError(path, faults.texts)
    return policy


def _named(name: str, table: Any, faults: _Faults) -> Any:
    if not isinstance(table, dict):
        return table
    if "name" in table:
        faults.add(("targets", name, "name"), "is given by the table's own name; leave it out")
    backend = table.get("backend", "local")
    lendable = [each for each in backend_names() if each != "broker"]  # what another broker lends is that one's to count
    if isinstance(backend, str) and backend not in lendable:
        faults.add(("targets", name, "backend"), unknown("backend", backend, lendable))
    return {**table, "name": name}


_TABLES: Mapping[str, type[BaseModel]] = {
    "targets": SharedTarget,
    "groups": Group,
    "users": Rule,
    "everyone": Rule,
    "fair_share": FairShare,
    "idle": Idle,
    "left": Left,
    "admins": Admins,
    "reservations": Reservation,
}
_SINGLE = ("everyone", "fair_share", "idle", "left", "admins")


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items() if name != "name"]


class _Faults:
    """All that is wrong with one file, each with its place."""

    def __init__(self, text: str) -> None:
        self._lines = line_numbers(text)
        self._found: list[tuple[int, str]] = []

    @property
    def texts(self) -> list[str]:
        return [text for _, text in sorted(self._found)]

    def add(self, keys: tuple[str, ...], text: str) -> None:
        line = next((self._lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self._lines), 1)
        self._found.append((line, f"line {line}, {'.'.join(keys)}: {text}"))

    def invalid(self, error: ValidationError) -> None:
        for item in error.errors():
            keys = tuple(str(part) for part in item["loc"] if part != "[key]")
            if item["type"] == "extra_forbidden":
                self.add(keys, unknown("key", keys[-1], self._known(keys)))
            elif item["type"] in ("model_type", "mapping_type", "dict_type", "tuple_type"):
                self.add(keys, f"must be a {'list' if item['type'] == 'tuple_type' else 'table'}, not {item['input']!r}")
            elif item["type"] == "missing":
                self.add(keys, "is missing")
            else:
                # A table may hold secrets in its environment, and says nothing that the message does not.
                shown = "" if isinstance(item["input"], Mapping) or "env" in keys else f", not {item['input']!r}"
                self.add(keys, item["msg"].removeprefix("Value error, ") + shown)

    def names(self, policy: Policy) -> None:
        """Names of targets that are not there, numbers that do not fit them, and what two targets would lend at once."""
        lent: dict[tuple[object, ...], str] = {}
        for name, own in policy.targets.items():
            if own.backend == "slurm":
                continue
            machine = own.machine
            things: list[tuple[str, object]] = [("GPU", each) for each in own.device_indexes]
            things += [("account", each) for each in (own.accounts if own.isolation == "pool" else ())]
            for kind, each in things:
                other = lent.setdefault((*machine, kind, each), name)
                if other != name:
                    self.add(
                        ("targets", name), f"{kind} {each} of this machine is lent by {other!r} already: it would be lent twice"
                    )
        rules: list[tuple[tuple[str, ...], Rule]] = [(("everyone",), policy.everyone)]
        rules += [(("groups", name), group) for name, group in policy.groups.items()]
        rules += [(("users", name), rule) for name, rule in policy.users.items()]
        for keys, rule in rules:
            for name in rule.targets or ():
                if name not in policy.targets:
                    self.add((*keys, "targets"), unknown("target", name, policy.targets))
        for number, reservation in enumerate(policy.reservations):
            place = ("reservations", str(number))
            target = policy.targets.get(reservation.target)
            if target is None:
                self.add((*place, "target"), unknown("target", reservation.target, policy.targets))
            elif reservation.gpus > target.capacity:
                self.add((*place, "gpus"), f"{reservation.target} has {target.capacity}, not {reservation.gpus}")
            for name in reservation.groups:
                if name not in policy.groups:
                    self.add((*place, "groups"), f"no [groups.{name}]. {choices(name, policy.groups)}")

    def _known(self, keys: tuple[str, ...]) -> list[str]:
        if len(keys) == 1 or keys[0] not in _TABLES:
            return _keys(Policy)
        if keys[0] == "groups" and len(keys) > 3:
            return _keys(Limits)
        return _keys(_TABLES[keys[0]])


class PolicyFile:
    """The policy as it is now. A file that has become wrong leaves the last good one in force; `fault` says so."""

    def __init__(self, path: Path, told: Callable[[str], None] = lambda text: None) -> None:
        """Raises PolicyError when the file is wrong at the start. `told` hears each change, once."""
        self.path = path
        self._told = told
        self._lock = threading.Lock()
        self._stamp = self._stamped()
        self._policy = read(path)
        self.fault: str | None = None

    def current(self) -> Policy:
        """From any thread; costs a stat call while nothing has changed."""
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read()
            return self._policy

    __call__ = current

    def _read(self) -> None:
        try:
            self._policy = read(self.path)
        except PolicyError as error:
            self.fault = f"{error}\nThe policy of before stays in force."
            self._told(self.fault)
            return
        self.fault = None
        self._told(f"The policy {self.path} was read again.")

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
