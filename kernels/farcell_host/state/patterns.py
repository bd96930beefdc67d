"""Compiled patterns and matches: they cannot change, and `re.compile` gives the notebook the very pattern that it has.

A pattern does not tell with which flags it was asked for ("(?i)x" says one itself), and `re` keeps by these what it has compiled.
They are found by asking for them.

A match is found once more at the peer: by the same way to look for it, as far as its attributes tell which that was.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from .refusals import Refused

_MOST_TRIED = 1000
NOT_FOUND = "a match that is not found once more"
HINT = "Take its groups first"


def reducer(kind: type) -> Any:
    """How objects of this type go into a pickle; None for their own way."""
    return _reduce_pattern if kind is re.Pattern else _reduce_match if kind is re.Match else None


def _reduce_pattern(pattern: re.Pattern[Any]) -> Any:
    return re.compile, (pattern.pattern, _flags(pattern))


def _flags(pattern: re.Pattern[Any]) -> int:
    """With which `re.compile` gives this pattern, if it still has it."""
    plain = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, str) else pattern.flags
    if pattern.flags & (re.DEBUG | re.LOCALE):  # never kept; the first would print
        return plain & ~re.DEBUG
    return next((flags for flags in (plain, 0) if re.compile(pattern.pattern, flags) is pattern), plain)


def _reduce_match(match: re.Match[Any]) -> Any:
    for number, found in enumerate(_candidates(match)):
        if found is not None and _is_same(found, match):
            return find, (match.re, match.string, match.pos, match.endpos, number)
    found = match.re.match(match.string, match.start(), match.endpos)
    if found is None or found.regs != match.regs:
        raise Refused(match, NOT_FOUND, HINT)
    return find, (match.re, match.string, match.start(), match.endpos, 1)


def _is_same(one: Any, other: Any) -> bool:
    return bool((one.regs, one.pos, one.endpos, one.lastindex) == (other.regs, other.pos, other.endpos, other.lastindex))


def _candidates(match: re.Match[Any]) -> Iterator[re.Match[Any] | None]:
    """First those that cost no more than the match did, then one after the other as `finditer` finds them."""
    where = match.string, match.pos, match.endpos
    yield match.re.search(*where) if match.start() == match.pos or len(match.string) < 1 << 16 else None
    yield match.re.match(*where) if match.start() == match.pos else None
    yield match.re.fullmatch(*where) if match.span() == (match.pos, match.endpos) else None
    yield from itertools.islice(match.re.finditer(*where), _MOST_TRIED)


def find(pattern: re.Pattern[Any], string: Any, start: int, end: int, number: int) -> Any:
    """Called by unpickling."""
    ways = pattern.search, pattern.match, pattern.fullmatch
    if number < len(ways):
        return ways[number](string, start, end)
    return next(itertools.islice(pattern.finditer(string, start, end), number - len(ways), None))
