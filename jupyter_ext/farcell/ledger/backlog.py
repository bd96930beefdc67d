"""Reports on their way into the file.

While a fault keeps them out they are told again and again: what a later report says as well is not kept twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from .reports import Report, Table

KEPT = 100_000
"""Sessions, jobs and runs that are kept while nothing can be written; beyond that the oldest are dropped."""
Key = tuple[Table, str]


class Backlog:
    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._reports: dict[Key, list[Report]] = {}

    def __bool__(self) -> bool:
        return bool(self._reports)

    def __iter__(self) -> Iterator[Report]:
        return (report for reports in self._reports.values() for report in reports)

    def add(self, reports: Iterable[Report]) -> None:
        for report in reports:
            known = self._reports.setdefault((report.table, report.id), [])
            known[:] = [*(each for each in known if not _says_all_of(report, each)), report]

    def batch(self, most: int) -> list[Report]:
        """The first ones; still kept."""
        return list(islice(self, most))

    def done(self, written: Sequence[Report]) -> None:
        """As they came from `batch`."""
        for report in written:
            key = (report.table, report.id)
            self._reports[key].remove(report)
            if not self._reports[key]:
                del self._reports[key]

    def clear(self) -> None:
        self._reports.clear()

    def trim(self) -> int:
        """Keeps what nothing could be written of within bounds; how many things were dropped."""
        over = list(self._reports)[: max(0, len(self._reports) - self._kept)]
        for key in over:
            del self._reports[key]
        return len(over)


def _says_all_of(later: Report, earlier: Report) -> bool:
    """Whether nothing of the earlier one is left once both are merged."""
    if later == earlier:
        return True
    ranks = (earlier.is_final, earlier.as_of) < (later.is_final, later.as_of) and earlier.as_of <= later.as_of
    return ranks and set(earlier.values()) <= set(later.values())
