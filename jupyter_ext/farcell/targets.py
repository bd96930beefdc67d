"""Targets: named places to run, from `targets.toml` files and two that are always there.

Files are looked for as `farcell/targets.toml` in Jupyter's config paths (user, environment, system; `jupyter --paths`). A
target of an earlier path replaces a later one of the same name whole. All faults of all files are told at once, with file,
line and key.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from jupyter_core.paths import jupyter_config_dir, jupyter_config_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, model_validator

from .backends.base import LaunchOptions, backend_names
from .backends.resources import Resources, memory, seconds
from .errors import UsageError
from .tomlplaces import choices, line_numbers, unknown

if TYPE_CHECKING:
    from .backends.broker.offered import Offers

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("farcell") / "targets.toml"
CONFIRM_BYTES = 8 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BUILTIN = ("local", "local-attach")
WITHOUT_SCHEDULER = ("local", "local-attach", "ssh")
_OF_BROKER = frozenset(
    (
        *("name", "backend", "url", "lends", "token_file", "token_variable", "gpus", "walltime"),
        *("trust", "confirm_bytes", "detached_reads", "price_per_hour", "budget"),
    )
)
"""What a target says itself when it is a broker's."""
_TOP_KEYS = ("default", "currency", "budget", "targets")


def _folder(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must be a whole path on the target, from / on")
    return path


def _program(path: str) -> str:
    """`python3.12` is looked for on the target's PATH; a path of several parts would depend on where the host starts."""
    try:
        first = next(iter(shlex.split(path)), "")  # over ssh it may be a command line
    except ValueError:  # a single path, with a quote in it
        first = path
    if not first or ("/" in first and not first.startswith("/")):
        raise ValueError("must be a command or a whole path on the target, from / on")
    return path


def _host(name: str) -> str:
    if not name or name.startswith("-") or any(each.isspace() for each in name):
        raise ValueError("must be the name of a machine, or of a Host in ssh's configuration")
    return name


def _command(text: str) -> str:
    try:
        if not shlex.split(text):
            raise ValueError("must be a command")
    except ValueError as error:
        raise ValueError(f"must be a command line: {error}") from None
    return text


def _variable(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise ValueError("no environment variable can have this name")
    return name


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("no environment variable can hold a zero character")
    return value


def _word(text: str) -> str:
    if not text or text.startswith("-") or not text.isprintable():
        raise ValueError("must be a word for sbatch")
    return text


def _option(text: str) -> str:
    if not text.startswith("-") or not text.isprintable():
        raise ValueError("must be an option of sbatch, such as '--exclusive'")
    return text


def _span(text: str) -> str:
    seconds(text)
    return text


def _lent(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be the name of a target of the broker")
    return name


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://hub.example.org/services/farcell")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no password: name a token_file")
    return text


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number of bytes or a text such as '2GB'")
    return value


_CURRENCY = re.compile(r"\S{1,8}")
Amount = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


class Limits(BaseModel):
    """What a target, or all of them, may cost; None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: Amount | None = None
    month: Amount | None = None


class Target(BaseModel):
    """One target; `name` is its key in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    backend: str = "local"
    python: Annotated[str, AfterValidator(_program)] | None = None
    cwd: Annotated[str, AfterValidator(_folder)] | None = None
    env: dict[Annotated[str, AfterValidator(_variable)], Annotated[str, AfterValidator(_text)]] = Field(default_factory=dict)
    keep_s: float = Field(default=600, gt=0, strict=True)
    idle_timeout_s: float = Field(default=3600, gt=0, strict=True)
    host: Annotated[str, AfterValidator(_host)] | None = None
    user: Annotated[str, AfterValidator(_host)] | None = None
    ssh: Annotated[str, AfterValidator(_command)] = "ssh"
    ssh_persist_s: float = Field(default=600, gt=0, strict=True)
    setup: tuple[str, ...] = ()
    secrets: tuple[Annotated[str, AfterValidator(_variable)], ...] = ()
    cache_dir: Annotated[str, AfterValidator(_folder)] | None = None
    environment: Literal["auto", "ship", "never"] = "auto"
    system_site_packages: bool = Field(default=False, strict=True)
    gpus: int | None = Field(default=None, ge=0, strict=True)
    gpu_type: Annotated[str, AfterValidator(_word)] | None = None
    cpus: int | None = Field(default=None, gt=0, strict=True)
    mem: Annotated[str, AfterValidator(memory)] | None = None
    walltime: Annotated[str, AfterValidator(_span)] | None = None
    nodes: int | None = Field(default=None, gt=0, strict=True)
    partition: Annotated[str, AfterValidator(_word)] | None = None
    account: Annotated[str, AfterValidator(_word)] | None = None
    qos: Annotated[str, AfterValidator(_word)] | None = None
    constraint: Annotated[str, AfterValidator(_word)] | None = None
    reservation: Annotated[str, AfterValidator(_word)] | None = None
    sbatch: tuple[Annotated[str, AfterValidator(_option)], ...] = ()
    save_grace_s: float = Field(default=10, gt=0, strict=True)
    state_dir: Annotated[str, AfterValidator(_folder)] | None = None
    route: Literal["auto", "tcp", "srun"] = "auto"
    url: Annotated[str, AfterValidator(_url)] | None = None
    lends: Annotated[str, AfterValidator(_lent)] | None = None
    token_file: str | None = None
    token_variable: Annotated[str, AfterValidator(_variable)] | None = None
    trust: Literal["all", "data"] = "all"
    detached_reads: Literal["wait", "stale", "error"] = "wait"
    confirm_bytes: Annotated[ByteSize, BeforeValidator(_no_truth)] = Field(default=ByteSize(CONFIRM_BYTES), gt=0)
    price_per_hour: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)] | None = None
    budget: Limits | None = None

    def launch_options(self, notebook: str | None = None) -> LaunchOptions:
        """What the backend is told; `notebook` names who the session is for."""
        return LaunchOptions(
            target=self.name,
            backend=self.backend,
            python=self.python,
            cwd=self.cwd,
            env={**({"FARCELL_CACHE_DIR": self.cache_dir} if self.cache_dir else {}), **self.env},
            idle_timeout_s=self.idle_timeout_s,
            keep_s=self.keep_s,
            notebook=notebook,
            host=self.host,
            user=self.user,
            ssh=self.ssh,
            ssh_persist_s=self.ssh_persist_s,
            setup=self.setup,
            secrets=self.secrets,
            cache_dir=self.cache_dir,
            environment=self.environment,
            system_site_packages=self.system_site_packages,
            price_per_hour=self.price_per_hour,
            resources=self.resources,
            save_grace_s=self.save_grace_s,
            state_dir=self.state_dir,
            route=self.route,
            url=self.url,
            lends=self.lends,
            token_file=self.token_file,
            token_variable=self.token_variable,
            trust=self.trust,
        )

    @property
    def resources(self) -> Resources:
        return Resources(
            walltime_s=seconds(self.walltime) if self.walltime else None,
            **{field.name: getattr(self, field.name) for field in fields(Resources) if field.name != "walltime_s"},
        )

    def asking(self, wanted: Mapping[str, Any]) -> Target:
        """With these keys in the place of its own; UsageError says what is wrong with them."""
        try:
            return Target(**{**self.model_dump(), **wanted})
        except ValidationError as error:
            faults = "; ".join(f"{item['loc'][0]}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors())
            raise UsageError(f"What the cell asks for is not right: {faults}.") from None

    @model_validator(mode="after")
    def _reachable(self) -> Target:
        if self.backend == "ssh" and self.host is None:
            raise ValueError("a target with backend ssh needs its host")
        if self.backend == "broker" and self.url is None:
            raise ValueError("a target with backend broker needs its url")
        fields = type(self).model_fields.items()
        said = {name for name, known in fields if getattr(self, name) != known.get_default(call_default_factory=True)}
        theirs = sorted(said - _OF_BROKER)
        if self.backend == "broker" and theirs:
            raise ValueError(f"what the broker lends has no {', '.join(theirs)} of yours: its policy says that")
        if self.token_file is not None and self.token_variable is not None:
            raise ValueError("has a token_file and a token_variable: only one can be asked")
        return self


KEYS = tuple(name for name in Target.model_fields if name != "name")


@dataclass(frozen=True)
class Targets:
    """All targets there are, in the order they are listed; `sources` are the files they came from, `user_file` where a
    person's own belong. `budget` is a person's own, for all targets together; all prices are in one `currency`.
    """

    known: Mapping[str, Target]
    default: str = "local"
    currency: str = ""
    budget: Limits | None = None
    sources: tuple[Path, ...] = ()
    user_file: Path = field(default_factory=lambda: user_file())
    defined_in: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """The files with a table of that name, right or wrong, the one that holds first."""
    unknown_offers: str | None = None
    """Why it is not known what the environment's broker lends."""

    @property
    def names(self) -> list[str]:
        return list(self.known)

    def get(self, name: str | None = None) -> Target:
        """By name, the default without one; UsageError for a name nobody has defined."""
        wanted = self.default if name is None else name
        if wanted in self.known:
            return self.known[wanted]
        files = ", ".join(str(file) for file in self.sources or [self.user_file])
        broker = f" {self.unknown_offers}" if self.unknown_offers else ""
        raise UsageError(f"Unknown target {wanted!r}. {choices(wanted, self.names)} Targets are defined in {files}.{broker}")


def user_file() -> Path:
    """Where a person's own targets belong."""
    return Path(jupyter_config_dir()) / FILE


_loaded: tuple[Any, Targets] | None = None


def load(paths: Iterable[str | Path] | None = None) -> Targets:
    """Reads the files in these config folders (Jupyter's by default); raises UsageError with every fault found.

    Read again only when a file has changed, so that asking before each cell costs a few stat calls.
    """
    global _loaded
    files = _default_files() if paths is None else tuple(Path(folder) / FILE for folder in paths)
    offered = _offered() if paths is None else None
    stamps = tuple((file, _stamp(file)) for file in files)
    key = (stamps, offered)
    if _loaded is None or _loaded[0] != key:
        _loaded = (key, _read([file for file, stamp in stamps if stamp is not None], offered))
    return _loaded[1]


def _offered() -> Offers | None:
    """What a broker lends that the environment names."""
    if not os.environ.get("FARCELL_BROKER_URL"):
        return None
    from .backends.broker.offered import offers

    return offers()


@lru_cache(maxsize=1)
def _default_files() -> tuple[Path, ...]:
    return tuple(Path(folder) / FILE for folder in jupyter_config_path())


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place of a file; `target` is whose table it is in."""

    line: int
    text: str
    target: str | None = None


def survey() -> tuple[Targets, list[Fault]]:
    """What is right in the files, and all that is not: for who lists them. Nothing may run while there is a fault."""
    return _told([_File(file) for file in _default_files() if _stamp(file) is not None], _offered())


def stamp() -> tuple[object, ...]:
    """Changes when one of the files does."""
    return (*((file, _stamp(file)) for file in _default_files()), _offered())


def check(file: Path, text: str) -> None:
    """Raises UsageError with every fault that this file would have with this text."""
    found = _File(file, text)
    if found.faults:
        raise _not_right(found.faults)


def _read(paths: list[Path], offered: Offers | None) -> Targets:
    targets, faults = _told([_File(path) for path in paths], offered)
    if faults:
        raise _not_right(faults)
    return targets


def _not_right(faults: Iterable[Fault]) -> UsageError:
    return UsageError("targets.toml is not right:\n" + "\n".join(f"  {fault.text}" for fault in faults))


def _told(files: list[_File], offered: Offers | None = None) -> tuple[Targets, list[Fault]]:
    known: dict[str, Target] = {}
    for file in files:
        for name, target in file.targets.items():
            known.setdefault(name, target)
    for name in BUILTIN:
        known.setdefault(name, Target(name=name, backend=name))
    if offered is not None:
        for name in filter(_NAME.fullmatch, offered.names):
            trust: Literal["all", "data"] = "data" if name in offered.of_data else "all"
            lent = Target(name=name, backend="broker", url=offered.url, token_file=offered.token_file, trust=trust)
            known.setdefault(name, lent)
    chosen = next((file for file in files if file.default is not None), None)
    if chosen is not None:
        chosen.check_default([*known, *(name for file in files for name in file.faulty)])
    priced = next((file for file in files if file.currency), None)
    for file in files:
        if priced is not None:
            file.check_currency(priced)
    targets = Targets(
        known,
        (chosen and chosen.default) or BUILTIN[0],
        priced.currency if priced is not None else "",
        next((file.budget for file in files if file.budget is not None), None),
        tuple(file.path for file in files),
        unknown_offers=offered.fault if offered is not None else None,
        defined_in={name: tuple(file.path for file in files if name in file.named) for file in files for name in file.named},
    )
    return targets, [fault for file in files for fault in sorted(file.faults, key=lambda fault: (fault.line, fault.text))]


class _File:
    """One targets.toml: what is good in it, and what is not."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        """`text`: what it is to have, in the place of what it has."""
        self.path = path
        self.targets: dict[str, Target] = {}
        self.faulty: list[str] = []
        self.named: list[str] = []
        self.default: str | None = None
        self.currency = ""
        self.budget: Limits | None = None
        self.faults: list[Fault] = []
        try:
            self._text = path.read_text(encoding="utf-8-sig") if text is None else text
            tables = tomllib.loads(self._text)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.faults.append(Fault(0, f"{path}: {error}"))
            return
        self._lines = line_numbers(self._text)
        self._top(tables)

    def _fault(self, keys: tuple[str, ...], text: str) -> None:
        line = next((self._lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self._lines), 1)
        target = keys[1] if keys[0] == "targets" and len(keys) > 1 else None
        self.faults.append(Fault(line, f"{self.path}, line {line}, {'.'.join(keys)}: {text}", target))

    def _top(self, tables: dict[str, Any]) -> None:
        for key, value in tables.items():
            if key not in _TOP_KEYS:
                text = unknown("key", key, _TOP_KEYS)
                if isinstance(value, dict) and "Did you mean" not in text:
                    text += f" A target's table is [targets.{key}]."
                self._fault((key,), text)
        default = tables.get("default")
        if default is not None and not isinstance(default, str):
            self._fault(("default",), "must be the name of a target")
        else:
            self.default = default
        currency = tables.get("currency")
        if isinstance(currency, str) and _CURRENCY.fullmatch(currency):
            self.currency = currency
        elif currency is not None:
            self._fault(("currency",), f"must be a short word, such as 'EUR', not {currency!r}")
        if "budget" in tables:
            try:
                self.budget = Limits.model_validate(tables["budget"])
            except ValidationError as error:
                self._invalid(("budget",), error, tuple(Limits.model_fields))
        targets = tables.get("targets", {})
        if not isinstance(targets, dict):
            self._fault(("targets",), "must hold tables, such as [targets.gpu-a]")
            return
        self.named = list(targets)
        for name, table in targets.items():
            self._target(name, table)

    def check_currency(self, first: _File) -> None:
        """Prices of several files are added up."""
        if self.currency not in ("", first.currency):
            self._fault(("currency",), f"prices are in one currency, and {first.path} says {first.currency!r}")

    def check_default(self, names: Iterable[str]) -> None:
        """`default` may name a target of any file, also one that has faults of its own."""
        known = list(dict.fromkeys(names))
        if self.default is not None and self.default not in known:
            self._fault(("default",), unknown("target", self.default, known))

    def _target(self, name: str, table: Any) -> None:
        where = ("targets", name)
        if not _NAME.fullmatch(name):
            self._fault(where, "a name has letters, digits, '.', '_' and '-' only")
        elif not isinstance(table, dict):
            self._fault(where, f"must be a table, such as [targets.{name}]")
        elif "name" in table:
            self._fault((*where, "name"), "is given by the table's own name; leave it out")
        else:
            backend = table.get("backend", "local")
            if isinstance(backend, str) and backend not in backend_names():
                self._fault((*where, "backend"), unknown("backend", backend, backend_names()))
            try:
                self.targets[name] = Target(name=name, **table)
            except ValidationError as error:
                self.faulty.append(name)
                self._invalid(where, error, KEYS)

    def _invalid(self, where: tuple[str, ...], error: ValidationError, known: Iterable[str]) -> None:
        for item in error.errors():
            keys = tuple(str(part) for part in item["loc"] if part != "[key]")
            if item["type"] == "extra_forbidden":
                self._fault((*where, *keys), unknown("key", keys[-1], Limits.model_fields if keys[0] == "budget" else known))
            elif item["type"] == "model_type":
                self._fault((*where, *keys), f"must be a table, such as {{ day = 10.0, month = 200.0 }}, not {item['input']!r}")
            else:
                shown = "" if keys[:1] in ((), ("env",)) else f", not {item['input']!r}"  # the environment may hold secrets
                self._fault((*where, *keys), item["msg"].removeprefix("Value error, ") + shown)
