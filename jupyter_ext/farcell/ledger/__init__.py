"""The ledger: what this user's sessions, jobs and runs have used, in one SQLite file.

- `reports` is what is told to it, and the law by which reports of the same thing are merged: any order, any repetition.
- `accounts` turns what is known into totals, `budget` holds them against a limit; both are arithmetic without a file.
- `place`, `filesystems` and `lock` say where the file is and how it may be used there; `schema`, `migrations` and `store` are
  the only modules that import SQLAlchemy and alembic, when the ledger is first used: they take longer than all of farcell.
- `book` is what farcell calls. Recording never raises into a run; reading raises LedgerError.

All times are UTC, seconds since the epoch, as floats: what hosts and schedulers tell, and what can be added up.
"""

from __future__ import annotations

from ..errors import LedgerError
from .accounts import RunUsage, UsageRow
from .book import Ledger, open_ledger
from .budget import Budget, BudgetState, BudgetVerdict
from .reports import JobReport, Report, RunReport, SessionReport

__all__ = [
    "Budget",
    "BudgetState",
    "BudgetVerdict",
    "JobReport",
    "Ledger",
    "LedgerError",
    "Report",
    "RunReport",
    "RunUsage",
    "SessionReport",
    "UsageRow",
    "open_ledger",
]
