"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    OK = "ok"
    NOTE = "note"
    """It works, and there is something to know of it."""
    WRONG = "wrong"
    UNCHECKED = "not checked"


@dataclass(frozen=True)
class Check:
    """`found` is what is so, or why it was not looked at; `fix` what to do about it."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Check:
    return Check(name, Verdict.OK, found)


def note(name: str, found: str, fix: str = "") -> Check:
    return Check(name, Verdict.NOTE, found, fix)


def wrong(name: str, found: str, fix: str) -> Check:
    return Check(name, Verdict.WRONG, found, fix)


def unchecked(name: str, why: str) -> Check:
    return Check(name, Verdict.UNCHECKED, why)
