"""A month of demand of three hundred users for sixteen GPUs, through the broker's own records in its own database."""

from __future__ import annotations

import pytest
from farcell_broker.fairshare import jain
from leasing import NOON, Office
from month import MONTH, Demand, Person, fair_waits, first_come, gpu_hours, people, with_broker

GPUS = 16
SEEDS = 11, 12


def fairness(crowd: list[Person], used: dict[str, float]) -> float:
    """Among those who always wanted something: GPU-hours by weight."""
    return jain([used.get(person.name, 0.0) / person.weight for person in crowd if person.is_steady])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_in_a_month_gpus_go_by_share_and_nobody_waits_over_three_fair_waits(small_office: Office) -> None:
    """Fairer by far than first come, first served on the same demand, no GPU too many, and hardly one that stands still."""
    crowd = people(SEEDS[0], steady=24, casual=276, capacity=GPUS)
    weights = "".join(f"[users.{person.name}]\nweight = {person.weight}\n" for person in crowd if person.weight != 1.0)
    small_office.rules(f'[targets.pool]\ngpus = {GPUS}\n[everyone]\ntargets = ["pool"]\nmax_walltime = "8h"\n{weights}')

    def demand() -> Demand:
        return Demand(SEEDS[1], crowd, NOON, MONTH, load=0.3, capacity=GPUS)

    jobs = with_broker(demand(), small_office)
    end = NOON + MONTH
    used = gpu_hours(jobs, end)
    assert sum(used.values()) > 0.95 * GPUS * MONTH / 3600
    by_share = fairness(crowd, used)
    by_coming = fairness(crowd, gpu_hours(first_come(demand(), GPUS), end))
    assert by_share >= 0.95 and by_share > by_coming
    fair = fair_waits(jobs, GPUS, end)
    waits = {job: (job.began_at or end) - job.asked_at for job in jobs}
    worst = max((waits[job] / fair[job] for job in jobs if waits[job] > 0), default=0.0)
    assert worst <= 3.0
    counted = sum(small_office.leases.standing(small_office.who(person.name)).used_share for person in crowd)
    assert counted == pytest.approx(1.0)
    print(f"Jain {by_share:.4f}, first come {by_coming:.4f}; longest wait {worst:.2f} fair waits; {len(jobs)} requests")
