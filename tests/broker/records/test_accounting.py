"""What was used, by whom and on what, and what Prometheus is told."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from farcell.ledger import RunReport
from farcell_broker.accounting import Accounting, as_csv, as_json, moment_of
from farcell_broker.errors import Refused
from farcell_broker.metrics import Metrics
from leasing import HOUR, NOON, POOL, Office
from prometheus_client.parser import text_string_to_metric_families
from services.postgres import Postgres

GROUPS = (
    POOL + '[groups.ml]\ntargets = ["pool"]\n[groups.lab]\ntargets = ["pool"]\n[targets.cpu]\nslots = 2\nprice_per_hour = 1.0\n'
    '[groups.cpu]\ntargets = ["cpu"]\n'
)


@pytest.fixture
def busy(office: Office) -> Office:
    """Ada has had two GPUs for three hours, ben one for one, after an hour's wait, and it is not over."""
    office.rules(GROUPS)
    office.groups = {"ada": frozenset({"ml", "lab", "cpu"}), "ben": frozenset({"ml"})}
    first = office.start("ada", 2, notebook="a.ipynb")
    office.ask("ben", notebook="b.ipynb")
    office.passes(1)
    office.leases.grant()
    office.passes(2)
    office.end(first)
    return office


def accounting(office: Office) -> Accounting:
    return Accounting(office.database, lambda: office.policy, office.clock)


def brief(office: Office, **asked: object) -> list[tuple[str, float, float]]:
    return [(row.key, round(row.gpu_hours, 6), round(row.money, 6)) for row in accounting(office).usage(**asked)]  # type: ignore[arg-type]


def test_leases_add_up_by_user_target_notebook_group_and_day(busy: Office) -> None:
    """Money is GPU-hours by the price of the grant; what lives counts until now."""
    assert brief(busy, by="user") == [("ada", 6, 12), ("ben", 2, 4)]
    assert brief(busy, by="target") == [("pool", 8, 16)]
    assert brief(busy, by="notebook") == [("a.ipynb", 6, 12), ("b.ipynb", 2, 4)]
    assert brief(busy, by="group") == [("ml", 8, 16), ("lab", 6, 12)]
    assert brief(busy, by="month") == [("2027-01", 8, 16)]
    [ben] = accounting(busy).usage(user="ben")
    assert (ben.leases, ben.open, ben.mean_wait_s, ben.max_wait_s, ben.hours) == (1, 1, HOUR, HOUR, 2.0)
    with pytest.raises(Refused, match="no account by 'colour'"):
        accounting(busy).usage(by="colour")  # type: ignore[arg-type]


def test_only_what_lies_in_the_time_is_counted(busy: Office) -> None:
    """A lease that spans its beginning or end counts for the part within; its wait counts where it was granted."""
    assert brief(busy, since=NOON + 2 * HOUR, until=NOON + 2.5 * HOUR) == [("ada", 1, 2), ("ben", 0.5, 1)]
    [ada, ben] = accounting(busy).usage(since=NOON + 2 * HOUR)
    assert (ben.max_wait_s, ada.open, ben.open) == (0.0, 0, 1)
    assert brief(busy, until=NOON) == [] and brief(busy, target="cpu") == []
    busy.passes(10)
    assert brief(busy, by="day", user="ben") == [("2027-01-15", 11, 22), ("2027-01-16", 1, 2)]


def test_runs_are_counted_once_however_often_they_are_told(busy: Office) -> None:
    """By the lease that they ran in; another lease's host cannot change them."""
    books = accounting(busy)
    [ben] = busy.leases.of("ben")
    begun = RunReport(id="r1", as_of=NOON + 1.5 * HOUR, started=NOON + HOUR, state="running")
    done = RunReport(
        id="r1", as_of=NOON + 2 * HOUR, started=NOON + HOUR, ended=NOON + 2 * HOUR, seconds=HOUR, gpu_utilisation=0.5
    )
    for report in (begun, done, begun):
        books.record(ben.id, [report])
    books.record("other", [RunReport(id="r1", as_of=NOON + 9 * HOUR, started=NOON, ended=NOON + 9 * HOUR, seconds=9 * HOUR)])
    books.record(ben.id, [RunReport(id="r2", as_of=NOON + 3 * HOUR, started=NOON + 2.5 * HOUR, state="running")])
    [ada, found] = books.usage()
    assert (found.runs, found.run_hours, found.gpu_use) == (2, 1.5, 0.5)
    assert (ada.runs, ada.gpu_use) == (0, None)
    [notebook] = [row for row in books.usage(by="notebook") if row.user == "ben"]
    assert (notebook.key, notebook.runs) == ("b.ipynb", 2)


def test_accounts_go_to_other_programs_as_csv_and_json(small_office: Office) -> None:
    """A notebook's name is no formula, whatever it begins with."""
    small_office.start("ada", notebook='=HYPERLINK("http://x")')
    small_office.passes(1)
    rows = accounting(small_office).usage(by="notebook")
    [read] = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert (read["key"], read["user"], read["gpu_hours"], read["gpu_use"]) == ('\'=HYPERLINK("http://x")', "ada", "1", "")
    [told] = json.loads(as_json(rows))
    assert (told["key"], told["gpu_hours"], told["gpu_use"]) == ('=HYPERLINK("http://x")', 1.0, None)


def test_a_day_without_an_offset_begins_where_the_policy_says(small_office: Office) -> None:
    """And what is no day is refused."""
    small_office.rules('timezone = "Europe/Berlin"')
    assert moment_of(small_office.policy, "2027-01-15") == NOON - 13 * HOUR
    assert moment_of(small_office.policy, "2027-01-15T12:00:00+00:00") == NOON
    with pytest.raises(Refused, match="'soon' is no day and no time"):
        moment_of(small_office.policy, "soon")


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    found = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_prometheus_is_told_what_is_lent_who_waits_and_what_was_used(office: Office) -> None:
    """Counters grow with each look; nobody's name is in it."""
    metrics = Metrics(office.leases, lambda: office.policy, office.clock)
    assert samples(metrics)["farcell_broker_gpus{target=pool}"] == 8
    lease = office.start("ada", 6)
    office.ask("ben", 4, notebook="secret.ipynb")
    office.passes(1)
    office.leases.grant()
    first = samples(metrics)
    assert first["farcell_broker_gpus_lent{target=pool}"] == 6
    assert first["farcell_broker_leases{state=waiting,target=pool}"] == 1
    assert first["farcell_broker_longest_wait_seconds{target=pool}"] == HOUR
    assert first["farcell_broker_gpu_seconds_total{target=pool}"] == 6 * HOUR
    office.end(lease)
    office.leases.grant()
    office.passes(1)
    second = samples(metrics)
    assert second["farcell_broker_gpu_seconds_total{target=pool}"] == 10 * HOUR
    assert second["farcell_broker_leases_ended_total{target=pool}"] == 1
    assert second["farcell_broker_wait_seconds_count{target=pool}"] == 2
    assert second["farcell_broker_wait_seconds_sum{target=pool}"] == HOUR
    assert "farcell_broker_leases{state=waiting,target=pool}" not in second
    assert not any(word in metrics.render().decode() for word in ("ada", "ben", "secret"))


@pytest.fixture
def postgres_again(postgres: Postgres) -> Iterator[Postgres]:
    yield postgres
    postgres.start()


def test_prometheus_is_told_that_the_database_is_gone(postgres_again: Postgres) -> None:
    """The last gauges stay; nothing fails."""
    with postgres_again.database() as url:
        office = Office.at(url)
        metrics = Metrics(office.leases, lambda: office.policy, office.clock, lambda: "line 3 is wrong")
        office.ask("ada")
        assert samples(metrics)["farcell_broker_database_up"] == 1
        postgres_again.stop()
        assert samples(metrics)["farcell_broker_database_up"] == 0
        assert samples(metrics)["farcell_broker_policy_up"] == 0
        postgres_again.start()
        assert samples(metrics)["farcell_broker_database_up"] == 1
        office.database.close()
