"""The GPUs of a target as a table, from what its kernel host says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import FarcellError
from .refs import human_bytes
from .tables import Table

COLUMNS = ("gpu", "name", "use", "memory", "of", "temperature", "power", "of limit", "this session", "others")


def gpus_table(target: str, said: Mapping[str, Any]) -> Table:
    """`said` is the answer to the host's request `gpus`. Raises FarcellError when GPUs cannot be read at all."""
    libraries = {library["vendor"]: library for library in said["libraries"]}
    if said["state"] == "error":
        why = "; ".join(f"{vendor}: {library['text']}" for vendor, library in libraries.items() if library["state"] == "error")
        raise FarcellError(f"The GPUs of {target!r} cannot be read. {why}.")
    if said["state"] == "none":
        why = "; ".join(f"{vendor}: {library['text']}" for vendor, library in libraries.items())
        return Table(f"GPUs of {target!r}", COLUMNS, [], f"none. {why}")
    drivers = [f"{vendor} {library['driver']}" for vendor, library in libraries.items() if library["driver"]]
    broken = [f"{vendor}: {library['text']}" for vendor, library in libraries.items() if library["state"] == "error"]
    title = "; ".join([f"GPUs of {target!r}" + (f" ({', '.join(drivers)})" if drivers else ""), *broken])
    return Table(title, COLUMNS, [_row(device, said.get("kernel_pid")) for device in said["devices"]])


def _row(device: Mapping[str, Any], kernel: int | None) -> list[Any]:
    if device["error"]:
        return [device["index"], device["name"], device["error"], *["-"] * (len(COLUMNS) - 3)]
    return [
        device["index"],
        device["name"],
        _with(device["utilisation_percent"], "%"),
        _bytes(device["memory_used_bytes"]),
        _bytes(device["memory_total_bytes"]),
        _with(device["temperature_c"], "C"),
        _with(device["power_w"], "W"),
        _with(device["power_limit_w"], "W"),
        *_processes(device["processes"], kernel),
    ]


def _processes(listed: list[dict[str, Any]] | None, kernel: int | None) -> tuple[str, str]:
    """Those of the session, and how many others are on the device."""
    if listed is None:
        return "not known", "not known"
    own = [
        f"{'kernel' if each['pid'] == kernel else each['pid']} {_bytes(each['memory_bytes'])}"
        for each in listed
        if each["owner"] == "session"
    ]
    others: dict[str, int] = {}
    for each in listed:
        if each["owner"] != "session":
            name = {"user": "yours", "other": "other users'"}.get(each["owner"], "unknown")
            others[name] = others.get(name, 0) + 1
    return ", ".join(own) or "-", ", ".join(f"{count} {name}" for name, count in others.items()) or "-"


def _with(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.0f} {unit}"


def _bytes(size: int | None) -> str:
    return "-" if size is None else human_bytes(size)
