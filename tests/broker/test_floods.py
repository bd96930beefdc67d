"""One user's flood is not everybody's: requests are counted by user, and streams hold back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import httpx
import pytest
from brokers import BrokerProcess, User, error_of
from farcell_broker.limits import AT_ONCE, BURST, RATE, Limits, TooMany
from sandbox import Sandbox


def test_a_user_who_asks_too_often_waits_and_nobody_else() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    for _ in range(BURST):
        limits.take("ada")
    with pytest.raises(TooMany) as refused:
        limits.take("ada")
    assert refused.value.retry_s == pytest.approx(1 / RATE)
    limits.take("bob")
    now[0] += 1.0
    for _ in range(int(RATE)):
        limits.take("ada")
    with pytest.raises(TooMany):
        limits.take("ada")


def test_what_goes_on_is_counted_by_user_and_kind_until_it_is_over() -> None:
    limits = Limits()
    held = [limits.hold("ada", "streams") for _ in range(AT_ONCE)]
    with pytest.raises(TooMany):
        limits.hold("ada", "streams")
    with limits.held("ada", "questions"), limits.held("bob", "streams"):
        held.pop()()
        held.append(limits.hold("ada", "streams"))
    for release in held:
        release()


def flood(user: User) -> list[httpx.Response]:
    """Asks until it is refused, which a machine that is busy itself makes a matter of patience."""
    answers = (user.client.get("api/me") for _ in range(10 * BURST))
    return list(islice((answer for answer in answers if answer.status_code == 429), 1))


def test_a_flood_of_requests_is_refused_and_another_is_answered_meanwhile(sandbox: Sandbox) -> None:
    with BrokerProcess(sandbox) as broker:
        ada, bob = broker.user("ada"), broker.user("bob")
        with ThreadPoolExecutor(8) as pool:
            refused = [answer for found in pool.map(lambda _: flood(ada), range(8)) for answer in found]
        assert refused and {error_of(answer) for answer in refused} == {"too-many"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert bob.client.get("api/me").json()["name"] == "bob"
        began = time.monotonic()
        while ada.client.get("api/me").status_code == 429:  # what is refused counts for nothing
            assert time.monotonic() - began < 10


def test_nobody_s_queue_is_filled_by_one_user(sandbox: Sandbox) -> None:
    """Policy bounds the requests that wait, and the same key again is no second one. All of it is less than a burst."""
    with BrokerProcess(sandbox, slots=1) as broker:
        ada = broker.user("ada")
        first = ada.lease(key="k" * 8)
        assert ada.lease(key="k" * 8)["id"] == first["id"]
        body = {"target": "pool"}
        codes = [ada.client.post("api/leases", json={**body, "key": f"key-{n:05}"}).status_code for n in range(40)]
        assert 201 in codes and codes[-1] == 409
        for lease in reversed(ada.client.get("api/leases").json()["leases"]):
            ada.client.delete(f"api/leases/{lease['id']}").raise_for_status()
        ada.until(first["id"], "ended")
