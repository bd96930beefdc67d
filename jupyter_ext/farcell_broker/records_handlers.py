"""Accounts as JSON or CSV, and what Prometheus is told."""

from __future__ import annotations

import time
from dataclasses import asdict

from . import schemas
from .accounting import Accounting, as_csv, moment_of, month_start
from .errors import Forbidden
from .handlers import ApiHandler
from .metrics import CONTENT_TYPE, Metrics


class Accounts(ApiHandler):
    """`GET api/accounts`: one's own, or with `all=1`, for administrators, everybody's."""

    async def get(self) -> None:
        asked = self.query(schemas.AccountsQuery)
        if (asked.all or asked.user is not None) and not self.who.is_admin:
            raise Forbidden("Other users' accounts are for administrators.")
        policy = self.broker.policy()
        since = moment_of(policy, asked.since) if asked.since else month_start(policy, time.time())
        until = moment_of(policy, asked.until) if asked.until else None
        user = asked.user if asked.user is not None else None if asked.all else self.who.name
        accounting = Accounting(self.broker.leases.database, self.broker.policy, time.time)
        rows = await self.broker.call(accounting.usage, asked.by, since, until, user, asked.target)
        if asked.format == "csv":
            self.set_header("Content-Type", "text/csv; charset=utf-8")
            self.finish(as_csv(rows))
        else:
            self.answer({"by": asked.by, "since": since, "currency": policy.currency, "rows": [asdict(row) for row in rows]})


class Numbers(ApiHandler):
    """`GET metrics`, for any token that the broker knows: it says nothing of users."""

    async def get(self) -> None:
        metrics: Metrics = self.application.settings["metrics"]
        text = await self.broker.call(metrics.render)
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(text)
