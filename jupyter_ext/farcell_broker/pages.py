"""The broker's pages for people: one's own standing, and everything for administrators. Plain HTML, no script.

Behind a hub a browser logs in by OAuth, and forms carry the hub's XSRF token; without one the pages are for whoever sends a token
in the Authorization header. What a page does is what the API does, by the same methods.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tornado.template import Loader
from tornado.web import HTTPError, RequestHandler

from .accounting import Accounting, UsageRow, as_csv, moment_of, month_start
from .auth import token_of, who_of
from .broker import Broker
from .errors import BrokerError, DatabaseError, Forbidden, NoSuchLease, Refused
from .lease import Lease, Standing, State, Who
from .limits import Limits
from .policy import Policy

if TYPE_CHECKING:
    from jupyterhub.services.auth import HubOAuth

TEMPLATES = Path(__file__).parent / "templates"
AUDIT_ROWS = 100
ACCOUNTS = ("user", "group", "notebook", "target", "day", "month")
STATUS: Mapping[type[BrokerError], int] = {Forbidden: 403, NoSuchLease: 404, Refused: 409, DatabaseError: 503}
_loader = Loader(str(TEMPLATES), autoescape="xhtml_escape")


@dataclass(frozen=True)
class Words:
    """How a page says numbers and times."""

    policy: Policy

    def when(self, moment: float | None) -> str:
        """In the policy's time zone."""
        return "" if moment is None else f"{datetime.fromtimestamp(moment, self.policy.zone):%Y-%m-%d %H:%M}"

    def iso(self, moment: float) -> str:
        return datetime.fromtimestamp(moment, self.policy.zone).isoformat(timespec="seconds")

    def number(self, value: float | None) -> str:
        return "" if value is None else f"{value:,.1f}".removesuffix(".0")

    def part(self, value: float | None) -> str:
        return "" if value is None else f"{100 * value:.0f} %"

    def span(self, seconds: float) -> str:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"

    def money(self, value: float) -> str:
        return f"{value:,.2f} {self.policy.currency}".rstrip()

    def state(self, lease: Lease) -> str:
        words = {
            State.WAITING: f"waiting, {lease.place or '?'} in the queue",
            State.GRANTED: "starting",
            State.RUNNING: "running",
            State.ENDING: "ends soon",
            State.RELEASING: "ending",
            State.ENDED: "ended",
        }
        return words[lease.state]


class Page(RequestHandler):
    """Knows who visits; renders a template, or a fault as a page."""

    def initialize(self, broker: Broker, limits: Limits) -> None:
        """Called by tornado for each request."""
        self.broker, self.limits = broker, limits
        self.who = Who("")
        self.nonce = secrets.token_urlsafe(16)

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.clear_header("Server")

    def check_xsrf_cookie(self) -> None:
        """No cookie makes anybody known here; with a hub, its own check is in the place of this."""

    async def prepare(self) -> None:
        try:
            who = await self.visitor()
            if who is None:
                return
            self.who = self.broker.known(who)
            self.limits.take(self.who.name)
        except BrokerError as error:
            self.fail(error)

    async def visitor(self) -> Who | None:
        """None when the request has been answered. Raises BrokerError."""
        token = token_of(self.request.headers.get("Authorization"))
        who = await self.broker.gate.identify(token) if token is not None else None
        if who is None:
            self.set_header("WWW-Authenticate", "Bearer")
            self.refuse(
                401, "This broker has no hub to log in with: its pages are for who sends a token in the Authorization header."
            )
        return who

    def show(self, template: str, **values: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        policy = (
            f"default-src 'none'; style-src 'nonce-{self.nonce}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        self.set_header("Content-Security-Policy", policy)
        now = time.time()
        words = Words(self.broker.policy())
        common = {"who": self.who, "nonce": self.nonce, "words": words, "now": now, "prefix": self.broker.prefix}
        common |= {"fault": self.broker.supervisor.fault, "xsrf": self.xsrf(), "policy_fault": self.broker.policy_fault()}
        self.finish(_loader.load(template).generate(**{**common, **values}))

    def xsrf(self) -> str:
        """A hidden field of each form."""
        return ""

    def refuse(self, status: int, text: str) -> None:
        self.set_status(status)
        self.show("fault.html", title=HTTPStatus(status).phrase, text=text)

    def fail(self, error: BrokerError) -> None:
        self.refuse(next((status for kind, status in STATUS.items() if isinstance(error, kind)), 503), str(error))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by tornado for what a method has raised."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, BrokerError):
            return self.fail(error)
        said = error.log_message if isinstance(error, HTTPError) and error.log_message and status_code < 500 else None
        self.refuse(status_code, str(said or "This did not work; the broker's log says why."))

    def _request_summary(self) -> str:
        """Called by tornado for its log. Without the query: a login's code or a token may be there."""
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Called by tornado. What was refused is no fault of the broker's."""
        if not isinstance(value, BrokerError):
            super().log_exception(typ, value, tb)

    @property
    def accounting(self) -> Accounting:
        return Accounting(self.broker.leases.database, self.broker.policy, time.time)

    def for_admins(self) -> None:
        if not self.who.is_admin:
            raise Forbidden("This page is for administrators.")


class Own(Page):
    """`/`: what this user holds, waits for, has used and may use."""

    async def get(self) -> None:
        standing, rows = await self.broker.call(self._read)
        self.show("own.html", standing=standing, rows=rows, targets=self.broker.policy().targets)

    def _read(self) -> tuple[Standing, list[UsageRow]]:
        since = month_start(self.broker.policy(), time.time())
        rows = self.accounting.usage("notebook", since=since, user=self.who.name)
        return self.broker.leases.standing(self.who), rows


class Admin(Page):
    """`/admin`: all leases, an account, and the last entries of the audit log."""

    async def get(self) -> None:
        self.for_admins()
        by = self.get_query_argument("by", "user")
        if by not in ACCOUNTS:
            raise Refused(f"There is no account by {by!r}. Known: {', '.join(ACCOUNTS)}.")
        since, until = self.get_query_argument("since", ""), self.get_query_argument("until", "")
        found = await self.broker.call(self._read, by, since, until)
        asked = {"by": by, "since": since, "until": until}
        csv = f"accounts.csv?{urlencode({**asked, 'all': 1})}"
        self.show("admin.html", **found, **asked, accounts=ACCOUNTS, csv=csv)

    def _read(self, by: Any, since: str, until: str) -> dict[str, Any]:
        policy = self.broker.policy()
        leases = self.broker.leases.all()
        lent = {name: sum(each.gpus for each in leases if each.target == name and each.holds) for name in policy.targets}
        return {
            "leases": sorted(leases, key=lambda lease: (lease.target, lease.place or 0, lease.asked_at)),
            "targets": policy.targets,
            "lent": lent,
            "rows": _account(self.accounting, policy, by, since, until, None),
            "entries": self.broker.audit.entries(limit=AUDIT_ROWS),
        }


class Accounts(Page):
    """`/accounts.csv`: one's own use, or with `all=1`, for administrators, everybody's."""

    async def get(self) -> None:
        is_all = self.get_query_argument("all", "0") == "1"
        if is_all:
            self.for_admins()
        by, since, until = (self.get_query_argument(*asked) for asked in (("by", "day"), ("since", ""), ("until", "")))
        policy, user = self.broker.policy(), None if is_all else self.who.name
        rows = await self.broker.call(lambda: _account(self.accounting, policy, by, since, until, user))
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="accounts.csv"')
        self.finish(as_csv(rows))


class Act(Page):
    """What the buttons do; then back to the page they are on."""

    async def post(self, id: str, verb: str) -> None:
        lease = await self.broker.call(self.broker.leases.get, id)
        if lease.user != self.who.name and not self.who.is_admin:
            raise NoSuchLease(f"You have no lease {id!r}.")
        leases = self.broker.leases
        if verb == "end":
            await self.broker.call(leases.cancel, self.who, id)
            self.broker.close_streams(lease, "the lease was given back")
        elif verb == "warn":
            await self.broker.call(leases.warn_as, self.who, id, self.get_body_argument("reason", "") or "It is needed.")
        else:
            await self.broker.call(leases.put_first, self.who, id)
        self.broker.news.tell()
        self.broker.supervisor.wake()
        page = "admin" if self.get_body_argument("page", "") == "admin" else ""
        self.redirect(self.broker.prefix + page, status=303)


def _account(accounting: Accounting, policy: Policy, by: Any, since: str, until: str, user: str | None) -> list[UsageRow]:
    """`since` and `until` as they are typed; this month without them."""
    start = moment_of(policy, since) if since else month_start(policy, time.time())
    return accounting.usage(by, start, moment_of(policy, until) if until else None, user)


_PAGES: tuple[tuple[str, type[Page]], ...] = (
    (r"", Own),
    (r"admin", Admin),
    (r"accounts\.csv", Accounts),
    (r"leases/([A-Za-z0-9_-]{1,64})/(end|warn|first)", Act),
)


def routes(oauth: HubOAuth | None) -> list[tuple[str, type[RequestHandler]]]:
    """Below the broker's prefix; `oauth` is the hub's, if there is one."""
    if oauth is None:
        return list(_PAGES)
    from jupyterhub.services.auth import HubOAuthCallbackHandler

    made = [(path, _behind_hub(page, oauth)) for path, page in _PAGES]
    return [
        *made,
        (r"oauth_callback", type("Callback", (HubOAuthCallbackHandler,), {"_hub_auth": oauth, "initialize": _ignoring})),
    ]


def _ignoring(handler: Any, **arguments: Any) -> None:
    """The hub's own handler wants none of ours."""


def _behind_hub(page: type[Page], oauth: HubOAuth) -> type[Page]:
    from jupyterhub.services.auth import HubOAuthenticated

    class HubPage(HubOAuthenticated, page):  # type: ignore[valid-type,misc]
        """Known by the hub's cookie; its forms by the hub's XSRF token."""

        _hub_auth = oauth

        async def visitor(self) -> Who | None:
            model = await self.hub_auth.get_user(self, sync=False)
            if model is None:
                if self.request.method in ("GET", "HEAD"):
                    self.redirect(self.get_login_url())
                else:
                    self.refuse(403, "You are logged out: open the page anew.")
                return None
            who = who_of(model, self.hub_auth.access_scopes)
            if who is None:
                self.refuse(403, f"{model.get('name')} may not use this service: an administrator of the hub can allow it.")
            return who

        def xsrf(self) -> str:
            return str(self.xsrf_form_html())

    return HubPage
