"""How much the mask hides: counted per kind of program, told at the end of a run (`conftest.py`), and bounded."""

from __future__ import annotations

from dataclasses import dataclass

from .runner import Verdict

MOST_MASKED = 0.02


@dataclass
class Tally:
    runs: int = 0
    items: int = 0
    masked: int = 0
    stayed: int = 0

    def add(self, verdict: Verdict) -> None:
        self.runs += 1
        self.items += verdict.items
        self.masked += verdict.masked
        self.stayed += len(verdict.stayed)

    @property
    def share(self) -> float:
        return self.masked / max(1, self.items)

    def __str__(self) -> str:
        stayed = f"; {self.stayed} values stayed on the target" if self.stayed else ""
        return f"{self.runs} comparisons of {self.items} items, of which the mask hides {self.masked} ({self.share:.2%}){stayed}"


TALLIES: dict[str, Tally] = {}


def count(kind: str, verdict: Verdict) -> Verdict:
    TALLIES.setdefault(kind, Tally()).add(verdict)
    return verdict
