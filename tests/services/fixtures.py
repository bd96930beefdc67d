"""The services as fixtures: one SSH server and one Slurm cluster for the whole session, a link for each module.

A test that breaks a shared one mends it before it ends (`thaw`, `start`, `restart`); the link is mended for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from services.needs import NETNS, NVML, POSTGRES, SHELLS, SLURM, SSH, ensure, required_services
from services.network import Link
from services.nvml import StubNvml
from services.postgres import Postgres
from services.service import GRACE_S, Service, lives, sweep
from services.slurm import Slurm
from services.sshd import Sshd

INSTALLING = {"openssh", "shells", "slurm", "module_link", "session_nvml", "people", "postgres", "podman"}
FIRST_USE_S = 600
"""The first test that uses a service waits for its packages."""


@pytest.fixture(scope="session")
def openssh() -> None:
    """For a test with a server of its own: `Sshd(...)` can be started."""
    ensure(SSH)


@pytest.fixture(scope="session")
def shells() -> None:
    """Login shells that are no Bourne shells: tcsh and fish."""
    ensure(SHELLS)


@pytest.fixture(scope="session")
def sshd(openssh: None) -> Iterator[Sshd]:
    """An SSH server, the same for all tests."""
    with Sshd() as server:
        yield server
        end(server)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A Slurm cluster of two nodes with two GPUs each, the same for all tests."""
    ensure(SLURM)
    with Slurm() as cluster:
        yield cluster
        end(cluster)


@pytest.fixture(scope="session")
def login_node(openssh: None, slurm: Slurm) -> Iterator[Sshd]:
    """An SSH server in whose sessions sbatch and squeue find the cluster."""
    with Sshd(environment=slurm.environment()) as server:
        yield server
        end(server)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, the same for all tests; each takes a database of its own."""
    ensure(POSTGRES)
    with Postgres() as server:
        yield server
        end(server)


@pytest.fixture(scope="module")
def module_link() -> Iterator[Link]:
    """For fixtures that put servers on it; tests use `link`."""
    ensure(NETNS)
    with Link() as link:
        yield link
        end(link)


@pytest.fixture
def link(module_link: Link) -> Iterator[Link]:
    """The module's link, good at the test's start and after its end."""
    yield module_link
    module_link.reset()


@pytest.fixture(scope="session")
def session_nvml() -> Iterator[StubNvml]:
    """Compiled once; tests use `nvml`."""
    ensure(NVML)
    with StubNvml() as stub:
        yield stub


@pytest.fixture
def nvml(session_nvml: StubNvml) -> StubNvml:
    """Two idle GPUs that are none."""
    session_nvml.clear()
    return session_nvml


def pytest_configure() -> None:
    """A misspelt FARCELL_REQUIRE is told at once; what a killed test run left is ended."""
    required_services(os.environ)
    sweep()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if INSTALLING.intersection(getattr(item, "fixturenames", ())) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_USE_S))


def end(service: Service, grace_s: float = GRACE_S) -> None:
    """Fails when tests left processes in it, or when anything of it outlives its end."""
    own = service.processes()
    left = service.close(grace_s)
    outlived = [process.pid for process in own if lives(process)]
    assert not outlived, f"{type(service).__name__} has ended, but these run: {outlived}"
    if left:
        pytest.fail(f"left behind in {type(service).__name__}:\n  " + "\n  ".join(left), pytrace=False)
