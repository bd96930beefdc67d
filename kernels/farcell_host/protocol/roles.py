"""Who may do what on one host: one driver, any number of observers.

The driver holds a generation number. It keeps it over reconnects; a takeover by another client is explicit and raises it,
and from then on whatever comes under an older generation is refused.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from ..errors import ProtocolError
from .events import Hello
from .messages import Channel

OBSERVER_REQUESTS = frozenset(
    {"status", "watch", "interrupt", "restart", "chunks", "gpus", "usage", "log", "vars", "values", "retire", "tell", "keep"}
)
ONCE_REQUESTS = frozenset({"interrupt", "kill", "restart"})
"""Asked again by a driver after a reconnect, they are answered as before and not done again."""


@dataclass(frozen=True)
class Admission:
    """`supersedes`: the client whose connection is of an older generation now. If not `ok`, `code` and `message` say why."""

    ok: bool
    role: str = ""
    generation: int = 0
    supersedes: str | None = None
    code: str = ""
    message: str = ""


class Roles:
    """`driver` is the client that drives (connected or not), `generation` its number; 0: there was none yet."""

    def __init__(self) -> None:
        self.generation = 0
        self.driver: str | None = None

    def admit(self, hello: Hello) -> Admission:
        if hello.role == "observer":
            return Admission(True, "observer", self.generation)
        if self.driver is None:
            return self._install(hello.client, None)
        if hello.client == self.driver:
            if hello.generation not in (None, self.generation):
                return self._stale(hello.generation)
            return Admission(True, "driver", self.generation)
        if hello.generation is not None and not hello.takeover:
            return self._stale(hello.generation)
        if not hello.takeover:
            return Admission(
                False,
                code="busy",
                message="Another notebook drives this remote session; take it over, or use a session of your own",
            )
        return self._install(hello.client, self.driver)

    def may_send(self, client: str, generation: int) -> bool:
        """Whether a message or a request beyond an observer's is taken from this connection."""
        return client == self.driver and generation == self.generation

    def _install(self, client: str, before: str | None) -> Admission:
        self.generation += 1
        self.driver = client
        return Admission(True, "driver", self.generation, before)

    def _stale(self, generation: int | None) -> Admission:
        return Admission(
            False,
            code="superseded",
            message=f"Another notebook took this remote session over (generation {self.generation}, ours was {generation})",
        )


class Inbox:
    """Each message of a driver once, over any number of streams, and in order on each channel."""

    def __init__(self) -> None:
        self._received: dict[str, list[int]] = {}

    def received(self, client: str) -> list[int]:
        """The last sequence number accepted from this client, a channel each."""
        return list(self._received.get(client, [0] * len(Channel)))

    def accept(self, client: str, channel: Channel, sequence: int) -> bool:
        """False for one that came before. Raises ProtocolError when one before it is missing."""
        received = self._received.setdefault(client, [0] * len(Channel))
        if sequence <= received[channel]:
            return False
        if sequence != received[channel] + 1:
            raise ProtocolError(f"The client sent {channel.name} message {sequence} after {received[channel]}")
        received[channel] = sequence
        return True


class Answers:
    """What a driver was told when it asked for something that must not happen twice.

    A request is asked again when its answer was lost with the stream: a second restart would end a kernel that is in use. Kept
    for the latest requests of one driver only; whoever asks again does so at once after the reconnect.
    """

    def __init__(self, kept: int = 64) -> None:
        self._client = ""
        self._latest: deque[tuple[int, bool, dict[str, Any]]] = deque(maxlen=kept)

    def keep(self, client: str, id: int, ok: bool, fields: dict[str, Any]) -> None:
        if client != self._client:
            self._client = client
            self._latest.clear()
        self._latest.append((id, ok, fields))

    def earlier(self, client: str, id: int) -> tuple[bool, dict[str, Any]] | None:
        """The answer this request had, if it was asked before."""
        if client != self._client:
            return None
        return next(((ok, fields) for known, ok, fields in self._latest if known == id), None)
