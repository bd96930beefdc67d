"""`farcell targets list | add | test`."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import targets as known
from ..errors import FarcellError, UsageError
from ..tables import Table
from ..targets import Fault, Target
from .output import person, say, show, show_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# -- list


def list_targets(options: argparse.Namespace) -> int:
    targets, faults = known.survey()
    rows = [_row(targets.known.get(name), name, faults) for name in _names(targets.names, faults)]
    rest = [fault.text for fault in faults if fault.target is None]
    if options.json:
        show_json({"default": targets.default, "targets": rows, "faults": rest})
        return int(bool(faults))
    cells = [[row["name"], row["backend"], row["where"], row["name"] == targets.default, row["python"]] for row in rows]
    show(Table("Targets", ["target", "backend", "where", "default", "python"], cells))
    for fault in faults:
        say(fault.text)
    if faults:
        say("No cell runs on any target until that is put right.")
    return int(bool(faults))


def _names(right: Sequence[str], faults: Sequence[Fault]) -> list[str]:
    wrong = [fault.target for fault in faults if fault.target is not None]
    return list(dict.fromkeys([*right, *wrong]))


def _row(target: Target | None, name: str, faults: Sequence[Fault]) -> dict[str, Any]:
    problems = [fault.text for fault in faults if fault.target == name]
    if target is None or problems:
        return {"name": name, "backend": None, "where": "its table is not right", "python": None, "problems": problems}
    return {"name": name, "backend": target.backend, "where": where(target), "python": target.python, "problems": []}


def where(target: Target) -> str:
    """The machine, in a person's words."""
    place = target.host or "this machine"
    if target.host and target.user:
        place = f"{target.user}@{target.host}"
    return f"{place}, partition {target.partition}" if target.partition else place


# -- add


def add(options: argparse.Namespace) -> int:
    import tomlkit

    file = known.user_file()
    table = _table(options)
    before = file.read_text(encoding="utf-8-sig") if file.exists() else ""
    try:
        document = tomlkit.parse(before)
    except tomlkit.exceptions.ParseError:
        known.check(file, before)  # says where, in the words that loading has for it
        raise
    places: Any = document.setdefault("targets", tomlkit.table(is_super_table=True))
    if isinstance(places, Mapping) and options.name in places and not options.replace:
        raise UsageError(f"There is a target {options.name!r} already, in {file}. --replace puts this in its place.")
    places[options.name] = table
    after = tomlkit.dumps(document)
    try:
        known.check(file, after)
    except UsageError as error:
        raise UsageError(f"{error}\nNothing was written.") from None
    _write(file, after)
    print(f"{options.name!r} is in {file}. Next: farcell doctor {options.name}")
    found = known.survey()[0].known.get(options.name)
    if found is not None and found != Target(name=options.name, **known_values(after, options.name)):
        say(f"Another file, which comes before it, defines {options.name!r} too, and holds: jupyter --paths lists the folders.")
    return 0


def known_values(text: str, name: str) -> dict[str, Any]:
    """A target's keys, as a file of this text has them."""
    return dict(tomllib.loads(text)["targets"][name])


def _table(options: argparse.Namespace) -> dict[str, Any]:
    """The keys, each as its TOML value where the target takes that, else as the text that was typed."""
    typed = {key: value for key in ("backend", "host") if (value := getattr(options, key)) is not None}
    typed.update(_pair(text) for text in options.keys)
    values = {key: _value(text) for key, text in typed.items()}
    as_text = {key for key in _refused(options.name, values) if key not in _refused(options.name, typed)}
    return _nested({key: typed[key] if key.partition(".")[0] in as_text else values[key] for key in typed})


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{text!r} is not KEY=VALUE, such as python=/opt/envs/torch/bin/python.")
    return key.strip(), value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _refused(name: str, chosen: Mapping[str, Any]) -> set[str]:
    """Keys whose values the target does not take."""
    try:
        Target(**{"name": name, **_nested(chosen)})
    except ValidationError as error:
        return {str(item["loc"][0]) for item in error.errors() if item["loc"]}
    return set()


def _nested(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """`env.NAME` is a key of the table `env`."""
    table: dict[str, Any] = {}
    for key, value in chosen.items():
        outer, dot, inner = key.partition(".")
        if not dot:
            table[key] = value
        elif not isinstance(table.setdefault(outer, {}), dict):
            raise UsageError(f"{outer} and {key} cannot both be given.")
        else:
            table[outer][inner] = value
    return table


def _write(file: Path, text: str) -> None:
    """All of it or nothing; a file that is linked to stays where it is, with the mode that it has."""
    file = Path(os.path.realpath(file))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as error:
        raise FarcellError(f"{file} could not be written: {error.strerror}. It is as it was.") from error
    finally:
        partial.unlink(missing_ok=True)


# -- test


def test(options: argparse.Namespace) -> int:
    from ..api import Workspace

    here = Workspace({}, None)
    target = here.targets().get(options.name)
    here.check_budget(target)
    session = here.session(target)
    steps: list[dict[str, Any]] = []

    def cell() -> None:
        here.namespace.pop("answer", None)
        session.run("answer = 6 * 7")
        if here.namespace.get("answer") != 42:
            raise FarcellError(f"A cell on {target.name!r} did not bring back what it computed.")

    with _nobody_is_asked_for_a_pipe():
        try:
            _step(steps, "session started", session.start, options.json)
            _step(steps, "first cell", cell, options.json)
            _step(steps, "second cell", cell, options.json)
        except FarcellError as error:
            if options.json:
                show_json({"target": target.name, "ok": False, "steps": steps, "error": str(error)})
            say(f"{error}\nfarcell doctor {target.name} looks for the cause.")
            return 1
        finally:
            if session.has_something:
                _step(steps, "session ended", session.stop, options.json)
    if options.json:
        show_json({"target": target.name, "ok": True, "steps": steps})
    else:
        print(f"{target.name!r} works.")
    return 0


def _step(steps: list[dict[str, Any]], name: str, act: Callable[[], None], is_quiet: bool) -> None:
    began = time.perf_counter()
    act()
    seconds = time.perf_counter() - began
    steps.append({"step": name, "seconds": round(seconds, 3)})
    if not is_quiet:
        print(f"{name:16} {seconds:7.2f} s", flush=True)


@contextlib.contextmanager
def _nobody_is_asked_for_a_pipe() -> Iterator[None]:
    """What ssh asks is asked at a terminal; what comes in by a pipe is for somebody else."""
    if person():
        yield
        return
    before = sys.stdin
    with open(os.devnull) as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = before
