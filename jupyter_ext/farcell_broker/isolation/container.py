"""Isolation "container": one container a lease, without privileges, with the lease's GPUs and nothing of the machine's files.

The image brings a Python with farcell in it (`python3 -m farcell_host`). podman without root is the one to prefer: whoever may
talk to docker's daemon is root on the machine, and so is the broker then. What a session saves goes with its container.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from farcell.backends.base import JobState, LaunchOptions, Opened
from farcell.backends.local import launch_flags, parse_launch
from farcell.errors import TargetUnavailable

from .account import lease_word
from .base import Host, Wanted
from .shells import Shells

PIDS = 4096
RUNTIME = "/run/farcell"
PYTHON = "python3"
_GONE = ("no such container", "no container with name", "does not exist")


class Container:
    keeps_home = False

    def __init__(self) -> None:
        self._shells = Shells()

    async def start(self, wanted: Wanted) -> dict[str, Any]:
        options, engine, host = wanted.options, wanted.place.engine, host_of(wanted)
        if await self.poll(host, options) is not JobState.RUNNING:
            script = ["sh", "-c", with_environment_file(run_command(wanted, host["name"]), engine)]
            answer = await self._shells.run(options, script, environment_file(options.env, engine))
            if answer.code != 0:
                raise _failure(options, engine, "start", answer.code, answer.errors)
        launch = [PYTHON, "-m", "farcell_host", "launch", "--runtime", runtime(host), *launch_flags(options)]
        answer = await self._shells.run(options, exec_command(host, launch))
        found = parse_launch(options, runtime(host), answer.code, answer.output, answer.errors)
        return {**host, "runtime": runtime(host), "pid": found.pid if isinstance(found.pid, int) else None}

    async def abandon(self, wanted: Wanted) -> None:
        await self.end(host_of(wanted), wanted.options)

    async def open_stream(self, host: Host, options: LaunchOptions) -> Opened:
        attach = [PYTHON, "-m", "farcell_host", "attach", "--runtime", runtime(host)]
        return await self._shells.bridge(options, exec_command(host, attach))

    async def poll(self, host: Host, options: LaunchOptions) -> JobState:
        try:
            answer = await self._shells.run(options, state_command(host))
        except (TargetUnavailable, OSError):
            return JobState.UNKNOWN
        return parse_state(host["engine"], host["name"], answer.code, answer.output, answer.errors)

    async def end(self, host: Host, options: LaunchOptions) -> None:
        if await self.poll(host, options) is JobState.GONE:
            return
        answer = await self._shells.run(options, remove_command(host))
        if answer.code != 0 and await self.poll(host, options) is not JobState.GONE:
            raise _failure(options, host["engine"], "end", answer.code, answer.errors)


def host_of(wanted: Wanted) -> dict[str, Any]:
    name = f"farcell-{lease_word(wanted)}"
    session = str(wanted.options.session)
    return {"kind": "container", "engine": wanted.place.engine, "name": name, "session": session, "lease": wanted.lease}


def run_command(wanted: Wanted, name: str) -> list[str]:
    """A container that lives until it is removed; `$environment` is the path of a file that only the engine reads."""
    place, devices = wanted.place, wanted.devices
    if place.engine == "apptainer":
        gpus = ["--nv"] if devices else []
        return [
            "apptainer", "instance", "run", "--containall", "--cleanenv", "--no-privs", "--no-home", "--pid", "--ipc",
            "--writable-tmpfs", *gpus, "--env-file", "$environment", str(place.image), name,
        ]  # fmt: skip
    if place.engine == "docker":
        gpus = ["--gpus", f'"device={",".join(map(str, devices))}"'] if devices else []
    else:
        gpus = [word for device in devices for word in ("--device", f"nvidia.com/gpu={device}")]
    return [
        place.engine, "run", "--detach", "--init", "--rm", "--name", name, "--label", f"farcell.lease={wanted.lease}",
        "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--pids-limit={PIDS}", "--ipc=private", "--pull=missing",
        "--tmpfs", f"{RUNTIME}:rw,nosuid,nodev,mode=1777", "--env-file", "$environment", *gpus,
        "--entrypoint", "sleep", str(place.image), "infinity",
    ]  # fmt: skip


def with_environment_file(command: Sequence[str], engine: str) -> str:
    """The variables go by a 0600 file that is gone when the engine has read it: nothing of them stands in an argument list."""
    words = " ".join('"$environment"' if word == "$environment" else shlex.quote(word) for word in command)
    return f'umask 077; environment=$(mktemp) && cat > "$environment" && {words}; code=$?; rm -f "$environment"; exit $code'


def environment_file(env: Mapping[str, str], engine: str) -> str:
    """One variable a line; what has a line's end in it cannot be given so. Apptainer reads it as a shell would."""
    quoted = shlex.quote if engine == "apptainer" else str
    broken = [name for name, value in env.items() if "\n" in value or "\n" in name]
    if broken:
        raise TargetUnavailable(f"The variable {broken[0]} has more than one line, which no container can be given.")
    kept = {name: value for name, value in env.items() if name not in ("FARCELL_CACHE_DIR", "FARCELL_RUNTIME_DIR")}
    return "\n".join(f"{name}={quoted(value)}" for name, value in {**kept, "FARCELL_RUNTIME_DIR": RUNTIME}.items())


def exec_command(host: Host, command: Sequence[str]) -> list[str]:
    if host["engine"] == "apptainer":
        return ["apptainer", "exec", f"instance://{host['name']}", *command]
    return [host["engine"], "exec", "--interactive", host["name"], *command]


def state_command(host: Host) -> list[str]:
    if host["engine"] == "apptainer":
        return ["apptainer", "instance", "list", "--json", host["name"]]
    return [host["engine"], "inspect", "--type", "container", "--format", "{{.State.Running}}", host["name"]]


def remove_command(host: Host) -> list[str]:
    if host["engine"] == "apptainer":
        return ["apptainer", "instance", "stop", "--timeout", "10", host["name"]]
    return [host["engine"], "rm", "--force", "--volumes", host["name"]]


def parse_state(engine: str, name: str, code: int, output: str, errors: str) -> JobState:
    """Anything that the engine does not say in so many words is unknown."""
    if engine == "apptainer":
        try:
            found = [each["instance"] for each in json.loads(output)["instances"]]
        except (ValueError, KeyError, TypeError):
            return JobState.UNKNOWN
        return JobState.RUNNING if name in found else JobState.GONE
    if code == 0 and output.strip() in ("true", "false"):
        return JobState.RUNNING if output.strip() == "true" else JobState.GONE
    return JobState.GONE if any(words in errors.lower() for words in _GONE) else JobState.UNKNOWN


def runtime(host: Host) -> str:
    return f"{RUNTIME}/{host['session']}"


def _failure(options: LaunchOptions, engine: str, verb: str, code: int, errors: str) -> TargetUnavailable:
    said = errors.strip()[-1000:] or "(nothing)"
    return TargetUnavailable(
        f"{options.target!r}: {engine} did not {verb} the container (exit code {code}). It said:\n    {said}"
    )
