"""What a scheduler is asked for: GPUs, processors, memory, time. The same words in targets.toml and as options of a cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_SPAN = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m(?:in)?)?\s*(?:(\d+)s)?")
_MEMORY = re.compile(r"\d+(?:\.\d+)?\s*([KMGT])(?:i?B)?", re.IGNORECASE)


@dataclass(frozen=True)
class Resources:
    """None: the scheduler's own default."""

    gpus: int | None = None  # on each node
    gpu_type: str | None = None
    cpus: int | None = None
    mem: str | None = None  # on each node, as Slurm writes it: 64G
    walltime_s: int | None = None
    nodes: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    sbatch: tuple[str, ...] = ()
    """Further options of sbatch, each as one word: `--exclusive`, `--mail-type=END`."""

    def __str__(self) -> str:
        said = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value in (None, ()):
                continue
            if field.name == "walltime_s":
                said.append(f"walltime {clock(value)}")
            elif field.name == "sbatch":
                said.append(" ".join(value))
            else:
                said.append(f"{field.name.replace('_', ' ')} {value}")
        return ", ".join(said) or "the scheduler's defaults"


def seconds(text: str) -> int:
    """Of `2h`, `1d12h`, `90m`, `30s`, or as Slurm has it: `1:30:00`, `2-12:00:00`. ValueError says which there are."""
    word = text.strip().lower()
    found = _CLOCK.fullmatch(word)
    if found is not None:
        days, hours, minutes, secs = (int(each or 0) for each in found.groups())
        if found[4] is None and found[1] is None:
            raise ValueError(f"{text!r} may be minutes or hours: write 90m, 2h or 1:30:00")
    else:
        found = _SPAN.fullmatch(word)
        if found is None or not any(found.groups()):
            raise ValueError(f"must be a time such as 30m, 2h, 1d12h or 1:30:00, not {text!r}")
        days, hours, minutes, secs = (int(each or 0) for each in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + secs
    if total <= 0:
        raise ValueError("must be longer than nothing")
    return total


def clock(span_s: int) -> str:
    """As Slurm writes it, `D-HH:MM:SS`; sbatch(1), --time."""
    minutes, secs = divmod(span_s, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{minutes:02}:{secs:02}" if days else f"{hours:02}:{minutes:02}:{secs:02}"


def memory(text: str) -> str:
    """As sbatch takes it, from `64G`, `64GB`, `1.5T`; ValueError says how."""
    word = text.strip()
    found = _MEMORY.fullmatch(word)
    if found is None:
        raise ValueError(f"must be a size such as 64G or 500M, not {text!r}")
    number = float(word[: found.start(1)])
    unit = found[1].upper()
    if not number.is_integer():
        number, unit = number * 1024, {"T": "G", "G": "M", "M": "K"}.get(unit, "K")
    return f"{round(number)}{unit}"
