"""A link between two network namespaces, that can be cut, delayed, throttled and made to lose packets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from services.service import Ended, Service, run

Side = Literal["laptop", "cluster"]


class Link(Service):
    """Network namespaces 'laptop' and 'cluster': they share this machine's files, accounts and processes, not its network."""

    script: ClassVar[str] = "netns.sh"

    def __init__(self) -> None:
        super().__init__()
        net = f"10.77.{os.getpid() % 255}"  # another test run at the same time has another one
        self._net = net
        self.laptop = f"{net}.1"
        self.cluster = f"{net}.2"

    def variables(self) -> dict[str, str]:
        return {"NETNS_NET": self._net}

    def command(self, side: Side, command: Sequence[str]) -> list[str]:
        """The command that runs this one on that side, as the same process."""
        return ["nsenter", f"--net=/run/netns/{self.folder.name}-{side}", "--", *command]

    def popen(self, side: Side, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Starts a command on that side, with subprocess.Popen's own options. Whoever starts it ends it."""
        return subprocess.Popen(self.command(side, command), **options)

    def run(self, side: Side, command: Sequence[str], within_s: float = 60) -> Ended:
        """A command's end on that side, whatever it is."""
        return run(self.command(side, command), within_s=within_s)

    def cut(self) -> None:
        """From now on every packet is lost, of which no side is told."""
        self._call("cut")

    def heal(self) -> None:
        """Packets come through again, under the same delay, rate and loss as before."""
        self._call("heal")

    def down(self) -> None:
        """The laptop's device is down: sending fails at once there."""
        self._call("down")

    def up(self) -> None:
        self._call("up")

    def delay(self, one_way_ms: float) -> None:
        """The round trip grows by twice that."""
        self._call("delay", f"{one_way_ms:f}")

    def rate(self, mbit_per_s: float) -> None:
        """In each direction; 0: no limit."""
        self._call("rate", f"{mbit_per_s:f}")

    def loss(self, percent: float) -> None:
        """Of packets, at random, in each direction."""
        self._call("loss", f"{percent:f}")

    def queue(self, kib: float) -> None:
        """What may wait in each direction; packets beyond it are lost. At first 4096."""
        self._call("queue", f"{kib:f}")

    def reset(self) -> None:
        """A good link again, as after the start."""
        self._call("reset")
