"""The network between a leading broker and PostgreSQL is cut, of which no side is told."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from services.needs import POSTGRES, ensure
from services.network import Link, Side
from services.postgres import Postgres
from services.service import until

NOTICED_S = 60.0
"""A bound of the wait. The leader's side gives up after 20 s without an answer, the server's after 30 s."""
CANDIDATE = """
import sys
from farcell_broker.database import Database
from farcell_broker.errors import DatabaseError
lead = Database(sys.argv[1]).lead()
for line in sys.stdin:
    try:
        print(lead.take(), flush=True)
    except DatabaseError as error:
        print("passing" if error.is_passing else error, flush=True)
"""


class Candidate:
    """A process that would lead, on one side of the link."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def take(self) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        print("take", file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def candidate(link: Link, side: Side, url: str) -> Iterator[Candidate]:
    command = [sys.executable, "-c", CANDIDATE, url]
    with link.popen(side, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Candidate(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def far_postgres(module_link: Link) -> Iterator[Postgres]:
    """On the link's cluster."""
    ensure(POSTGRES)
    with Postgres(module_link) as server:
        yield server


@pytest.mark.timeout(300)
@pytest.mark.parametrize("delay_ms", [0.0, 200.0])
def test_it_leads_no_more_before_another_one_does(far_postgres: Postgres, link: Link, delay_ms: float) -> None:
    """Both learn of the cut within their bounds, and the one that is back follows. With a delay the server has sent what nobody
    has acknowledged when the link is cut: then it asks for no sign of life."""
    with far_postgres.database() as url, contextlib.ExitStack() as stack:
        cut_off, beside = (stack.enter_context(candidate(link, side, url)) for side in ("laptop", "cluster"))
        assert (cut_off.take(), beside.take()) == ("True", "False")
        link.delay(delay_ms)
        assert cut_off.take() == "True"
        link.cut()
        with ThreadPoolExecutor(1) as pool:
            answer: Future[str] = pool.submit(cut_off.take)
            until(lambda: beside.take() == "True", NOTICED_S, "the server has let go of the lead")
            assert answer.done() and answer.result() == "passing"
        link.reset()
        assert (cut_off.take(), beside.take()) == ("False", "True")
