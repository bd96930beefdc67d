"""What a benchmark yields, and how samples are taken fairly."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One number, and the goal that the project set itself for it."""

    name: str
    value: float
    goal: float
    at_most: bool
    """Whether the goal is an upper bound; else it is a lower one."""
    unit: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    """Seconds (or what `unit` says) by variant, in the order in which they were taken."""

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def goal_text(self) -> str:
        return f"at {'most' if self.at_most else 'least'} {self.goal:g}{self.unit}"


Sample = Callable[[], float]


def interleave(variants: Mapping[str, Sample], rounds: int, warm_up: int, seed: int = 0) -> dict[str, list[float]]:
    """Each variant once a round, in an order that changes from round to round; the warm-up rounds are dropped.

    So whatever else the machine does falls on all variants alike. The collector runs between rounds, never in a sample.
    """
    order = random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in variants}
    gc.disable()
    try:
        for number in range(warm_up + rounds):
            gc.collect(0 if number % 10 else 2)
            for name in order.sample(list(variants), len(variants)):
                seconds = variants[name]()
                if number >= warm_up:
                    samples[name].append(seconds)
    finally:
        gc.enable()
    return samples


def ratio(samples: Mapping[str, list[float]], above: str, below: str) -> float:
    """Of the medians."""
    return statistics.median(samples[above]) / statistics.median(samples[below])


def table(figures: list[Figure]) -> str:
    """Markdown, as the README quotes it."""
    rows = ["| | goal | measured | |", "|---|---|---|---|"]
    rows += [f"| {f.name} | {f.goal_text} | {f.value:.3g}{f.unit} | {'' if f.is_met else 'missed'} |" for f in figures]
    return "\n".join(rows)
