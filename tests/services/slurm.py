"""A Slurm cluster of the tests' own: a controller and nodes with GPUs that are none, all on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from services.needs import service_environment
from services.network import Link
from services.service import Ended, Service, ServiceError, run


class Slurm(Service):
    """Nodes `gpu1`, `gpu2`, ..., each with 8 CPUs and `gpus` GPUs of the type h100.

    Partitions: gpu (the default), debug (2 minutes at most), low (preempted by gpu).

    `extra`: more lines for slurm.conf. `link`: the cluster is at its far end, where its commands must run too.
    """

    script: ClassVar[str] = "slurm.sh"

    def __init__(self, *, nodes: int = 2, gpus: int = 2, extra: tuple[str, ...] = (), link: Link | None = None) -> None:
        super().__init__()
        self.nodes = [f"gpu{number}" for number in range(1, nodes + 1)]
        self.gpus = gpus
        self._extra = extra
        self._link = link

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    def environment(self) -> dict[str, str]:
        """What Slurm's commands need in theirs to find this cluster."""
        return {"SLURM_CONF": str(self.config)}

    def run(self, *command: str, user: str | None = None, within_s: float = 60) -> Ended:
        """A command's end with this cluster's environment, as root or as another account."""
        if user is not None:
            command = ("runuser", "-u", user, "--", *command)
        return run([*self.prefix(), *command], service_environment() | self.environment(), within_s)

    def submit(self, script: str, *options: str, user: str | None = None) -> str:
        """The id of the new batch job, whose script is these lines of sh. Raises ServiceError with sbatch's words."""
        lines = f"#!/bin/sh\n{script}\n"
        words = ["sbatch", "--parsable", "--chdir=/tmp", f"--output={self.folder}/%j.out", *options]
        done = self.run("sh", "-c", 'script=$1; shift; printf %s "$script" | "$@"', "sh", lines, *words, user=user)
        if done.returncode != 0:
            raise ServiceError(done.stderr.strip())
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Slurm's word for it, say PENDING, RUNNING, NODE_FAIL. Raises ServiceError while the controller does not answer,
        and once it has forgotten the job, 5 minutes after its end."""
        done = self.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")
        if done.returncode != 0:
            raise ServiceError(done.stderr.strip())
        return done.stdout.strip()

    def crash_node(self, node: str) -> None:
        """All of it is gone at once, jobs too, as without power. Slurm finds out some 15 s later."""
        self._call("crash-node", node)

    def kill_node_daemon(self, node: str) -> None:
        """Only slurmd is gone; the node's jobs live on."""
        self._call("kill-node", node)

    def start_node(self, node: str) -> None:
        """Returns when it takes jobs."""
        self._call("start-node", node)

    def kill_controller(self) -> None:
        """From now on no command of Slurm's is answered. Jobs go on, and are known after `restart`."""
        self._call("kill-ctl")

    def restart(self) -> None:
        """Starts what does not run, and returns when all nodes take jobs."""
        self.start()

    def stop(self) -> None:
        """Ends all daemons and jobs; `restart` brings the cluster back."""
        self._call("stop")

    def prefix(self) -> list[str]:
        return [] if self._link is None else self._link.command("cluster", [])

    def variables(self) -> dict[str, str]:
        return {"SLURM_NODES": str(len(self.nodes)), "SLURM_GPUS": str(self.gpus), "SLURM_EXTRA": "\n".join(self._extra)}
