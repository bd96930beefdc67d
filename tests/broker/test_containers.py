"""The command lines of container engines: what a lease's container may do, and what it is never given.

No engine is started here: they are checked as words. What a container is for, docs/security.md says.
"""

from __future__ import annotations

import subprocess

import pytest
from farcell.backends.base import JobState
from farcell.errors import TargetUnavailable
from farcell_broker.hosts import host_options
from farcell_broker.isolation.base import Wanted
from farcell_broker.isolation.container import (
    environment_file,
    exec_command,
    host_of,
    parse_state,
    remove_command,
    run_command,
    state_command,
    with_environment_file,
)
from lending import lease, shared

IMAGE = "registry.example/farcell:1"


def wanted(engine: str, **fields: object) -> Wanted:
    target = shared(isolation="container", image=IMAGE, engine=engine, env={"WANDB_KEY": "secret of the target"})
    lent = lease(**{"devices": (0, 1), "gpus": 2, **fields})  # type: ignore[arg-type]
    return Wanted(lent.id, lent.fence, lent.user, None, lent.devices, target, host_options(lent, target))


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_a_container_has_no_privileges_and_nothing_of_the_machine(engine: str) -> None:
    words = run_command(wanted(engine), "farcell-x-1")
    assert words[:3] == [engine, "run", "--detach"] and words[-2:] == [IMAGE, "infinity"]
    assert {"--cap-drop=ALL", "--security-opt=no-new-privileges", "--ipc=private", "--rm"} <= set(words)
    assert any(word.startswith("--pids-limit=") for word in words)
    for never in ("--privileged", "--volume", "-v", "--mount", "--pid=host", "--network=host", "--ipc=host", "--userns=host"):
        assert never not in words


def test_a_container_has_the_gpus_of_its_lease_and_no_others() -> None:
    assert [each for each in run_command(wanted("podman"), "n") if "nvidia.com" in each] == [
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=1",
    ]
    words = run_command(wanted("docker"), "n")
    assert words[words.index("--gpus") + 1] == '"device=0,1"'
    assert "--nv" in run_command(wanted("apptainer"), "n")
    for engine in ("podman", "docker", "apptainer"):
        words = run_command(wanted(engine, devices=(), gpus=0), "n")
        assert not {"--gpus", "--device", "--nv"} & set(words)


@pytest.mark.parametrize(("engine", "inside"), [("podman", "0,1"), ("docker", "0,1"), ("apptainer", "2,3")])
def test_a_program_inside_counts_the_devices_that_are_there(engine: str, inside: str) -> None:
    """An engine with devices of its own shows these alone; apptainer shows all that the machine has."""
    environment = wanted(engine, devices=(2, 3)).options.env
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["HIP_VISIBLE_DEVICES"] == inside
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "2,3"


@pytest.mark.parametrize("engine", ["podman", "docker", "apptainer"])
def test_no_value_of_a_variable_stands_in_an_argument_list(engine: str) -> None:
    asked = wanted(engine)
    words = run_command(asked, "n")
    assert not any("secret of the target" in word for word in words)
    assert words[words.index("--env-file") + 1] == "$environment"
    script = with_environment_file(["cat", "$environment"], engine)
    given = environment_file(asked.options.env, engine)
    done = subprocess.run(["sh", "-c", script], input=given, capture_output=True, text=True, timeout=20, check=True)
    assert "secret of the target" in done.stdout and "FARCELL_RUNTIME_DIR=/run/farcell" in done.stdout
    with pytest.raises(TargetUnavailable, match="more than one line"):
        environment_file({"A": "1\nLD_PRELOAD=/tmp/evil.so"}, engine)


def test_a_variable_is_no_command_of_apptainers_shell() -> None:
    given = environment_file({"A": "$(touch /tmp/evil) `id` 'x"}, "apptainer")
    done = subprocess.run(
        ["sh", "-c", f'{given.splitlines()[0]}; printf %s "$A"'], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "$(touch /tmp/evil) `id` 'x"


def test_a_name_is_a_leases_own_and_harmless() -> None:
    host = host_of(wanted("podman", id="a;rm -rf /"))
    assert host["name"] == "farcell-a-rm--rf---1"
    assert host_of(wanted("podman", fence=2))["name"] != host_of(wanted("podman"))["name"]
    assert exec_command(host, ["x"]) == ["podman", "exec", "--interactive", host["name"], "x"]
    assert remove_command(host) == ["podman", "rm", "--force", "--volumes", host["name"]]
    assert state_command(host)[:4] == ["podman", "inspect", "--type", "container"]
    instance = host_of(wanted("apptainer"))
    assert exec_command(instance, ["x"]) == ["apptainer", "exec", f"instance://{instance['name']}", "x"]


@pytest.mark.parametrize(
    ("engine", "code", "output", "errors", "state"),
    [
        ("podman", 0, "true\n", "", JobState.RUNNING),
        ("docker", 0, "false\n", "", JobState.GONE),
        ("docker", 1, "\n", "Error: No such container: n", JobState.GONE),
        ("podman", 125, "", 'Error: no such container "n"', JobState.GONE),
        ("docker", 1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", JobState.UNKNOWN),
        ("podman", 127, "", "sh: podman: not found", JobState.UNKNOWN),
        ("apptainer", 0, '{"instances": [{"instance": "n", "pid": 1}]}', "", JobState.RUNNING),
        ("apptainer", 0, '{"instances": []}', "", JobState.GONE),
        ("apptainer", 1, "", "no home", JobState.UNKNOWN),
    ],
)
def test_a_container_is_gone_only_when_the_engine_says_so(
    engine: str, code: int, output: str, errors: str, state: JobState
) -> None:
    assert parse_state(engine, "n", code, output, errors) is state
