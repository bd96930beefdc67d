"""What happens where a service cannot be started."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from services.needs import NEED, Need, ensure, missing, required_services, service_environment

IMPOSSIBLE = Need("ssh", "false", ("openssh-server",), lambda: "this machine refuses: buy another one")


def test_what_is_in_the_way_is_an_optional_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the service, the obstacle and what to do."""
    monkeypatch.delenv("FARCELL_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        ensure(IMPOSSIBLE)
    assert str(skipped.value) == "optional: ssh: this machine refuses: buy another one"


def test_a_service_that_is_required_fails_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """FARCELL_REQUIRE names services, with commas between them; others skip as before."""
    monkeypatch.setenv("FARCELL_REQUIRE", "slurm, ssh")
    with pytest.raises(pytest.fail.Exception, match="FARCELL_REQUIRE names ssh, but this machine refuses"):
        ensure(IMPOSSIBLE)
    monkeypatch.setenv("FARCELL_REQUIRE", "slurm")
    with pytest.raises(pytest.skip.Exception):
        ensure(IMPOSSIBLE)


def test_a_service_that_nobody_knows_cannot_be_required() -> None:
    """A slip of the pen would require nothing."""
    assert required_services({}) == set()
    assert required_services({"FARCELL_REQUIRE": "ssh,nvml,"}) == {"ssh", "nvml"}
    with pytest.raises(
        pytest.UsageError, match=r"FARCELL_REQUIRE names shh\. Known: netns, nvml, podman, postgres, shells, slurm, ssh, users\."
    ):
        required_services({"FARCELL_REQUIRE": "shh"})


def test_what_could_not_be_installed_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt-get's own words are kept to what need.sh says; both packages are in the command."""
    _program(tmp_path / "apt-get", "exit 100")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    reason = missing(Need("ssh", "false", ("one", "two")))
    assert reason is not None
    assert reason.startswith("farcell: one two ")
    assert reason.endswith("; install with: apt-get install --no-install-recommends one two")


def test_an_ordinary_account_installs_nothing(tmp_path: Path) -> None:
    """need.sh says so and calls no apt-get, here one that would leave a trace."""
    done = _need(tmp_path, "4711")
    assert done.returncode == 0
    assert "done only as root where no systemd runs" in done.stderr
    assert not (tmp_path / "calls").exists()


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="optional: where systemd runs nothing is installed")
def test_two_runs_at_once_install_once(tmp_path: Path) -> None:
    """The second waits for the first, and finds the packages there: one call for all of them."""
    runs = [threading.Thread(target=_need, args=(tmp_path, "0")) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["install -y -qq --no-install-recommends one two"]


def test_a_server_does_not_belong_to_the_test_that_starts_it() -> None:
    """The sandbox's variables are not in its environment: the sandbox would end it."""
    assert not [
        name for name in service_environment() if name.startswith(("FARCELL_", "JUPYTER_", "PYTEST_")) or name == "TMPDIR"
    ]


def _need(folder: Path, uid: str) -> subprocess.CompletedProcess[str]:
    """tools/need.sh with an apt-get of ours, which installs a file, for whom `id -u` says so."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    _program(programs / "id", f"echo {uid}")
    _program(programs / "apt-get", f"echo \"$@\" >>'{folder}/calls'; touch '{folder}/installed'")
    environment = service_environment()
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    environment["TMPDIR"] = str(folder)
    command = ["sh", str(NEED), "--service", f"test -e '{folder}/installed'", "one", "two"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _program(path: Path, script: str) -> None:
    fresh = path.with_name(f"{path.name}.{threading.get_ident()}")
    fresh.write_text(f"#!/bin/sh\n{script}\n")
    fresh.chmod(0o755)
    fresh.replace(path)
