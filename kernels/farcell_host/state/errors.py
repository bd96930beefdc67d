"""What can go wrong with a notebook's state.

StateError
├── CannotTravel    the sender: a value cannot leave this process (raised before anything is sent)
├── CannotRestore   the receiver: what came in cannot be rebuilt here (raised before anything is touched)
└── NotData         its reason, where data alone is taken
"""

from __future__ import annotations

_LONGEST_PATH = 300


class StateError(Exception):
    """Base of everything that `farcell_host.state` raises on purpose."""


class CannotTravel(StateError):
    """A value that cannot leave this process; `path` leads from the notebook name to the culprit."""

    def __init__(self, name: str, path: str, reason: str, hint: str = "") -> None:
        if len(path) > _LONGEST_PATH:
            path = f"{path[: _LONGEST_PATH // 2]} ... {path[-_LONGEST_PATH // 2 :]}"
        self.name, self.path, self.reason, self.hint = name, path, reason, hint
        super().__init__(f"{path}: {reason}" + (f". {hint}" if hint else ""))


class CannotRestore(StateError):
    """What the peer sent cannot be rebuilt here; nothing was changed."""

    def __init__(self, names: list[str], reason: str) -> None:
        self.names, self.reason = names, reason
        super().__init__(f"{', '.join(names) or 'the state'} cannot be rebuilt here: {reason}")


class NotData(StateError):
    """What came from a target is not of the closed set of `plain.py`; the message says what it was."""
