"""`farcell targets list | add | test`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .. import targets as known
from .. import targetsfile
from ..errors import FarcellError, UsageError
from ..tables import Table
from ..targets import Fault, Target
from ..targetsfile import where
from ..trial import nobody_is_asked, try_target, where_to_look
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


# -- add


def add(options: argparse.Namespace) -> int:
    table = _table(options)
    file = targetsfile.put(options.name, table, options.replace, " --replace puts this in its place.")
    command = "targets test" if table.get("backend") == "broker" else "doctor"
    print(f"{options.name!r} is in {file}. Next: farcell {command} {options.name}")
    found = known.survey()[0].known.get(options.name)
    if found is not None and found != Target(name=options.name, **table):
        say(f"Another file, which comes before it, defines {options.name!r} too, and holds: jupyter --paths lists the folders.")
    return 0


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
    return {key.partition(".")[0] for key, _ in targetsfile.refused(name, _nested(chosen))}


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


# -- test


def test(options: argparse.Namespace) -> int:
    name = known.load().get(options.name).name
    steps: list[dict[str, Any]] = []

    def told(step: str, seconds: float | None) -> None:
        if seconds is not None:
            steps.append({"step": step, "seconds": round(seconds, 3)})
            if not options.json:
                print(f"{step:16} {seconds:7.2f} s", flush=True)

    try:
        with contextlib.nullcontext() if person() else nobody_is_asked():
            try_target(name, told)
    except FarcellError as error:
        if options.json:
            show_json({"target": name, "ok": False, "steps": steps, "error": str(error)})
        say(f"{error}\n{where_to_look(name)}".rstrip())
        return 1
    if options.json:
        show_json({"target": name, "ok": True, "steps": steps})
    else:
        print(f"{name!r} works.")
    return 0
