"""A target's packages as a session asks for them, and what the person is told of other versions there."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from farcell_host.state.payload import Capture

from . import environment
from .backends.base import LaunchOptions
from .conversation import Conversation
from .relay.notebook import Notebook


class Packages:
    """Of one target, for as long as one kernel host of it lives."""

    def __init__(self, options: LaunchOptions, notebook: Notebook, conversation: Conversation) -> None:
        self._options = options
        self._notebook = notebook
        self._conversation = conversation
        self._compared: set[str] = set()  # modules whose packages were looked at
        self._compared_roots: set[str] = set()

    def compare(self, names: Iterable[str]) -> environment.Comparison:
        """The versions of these distributions, which are installed here, against the target's."""
        answer, _ = self._conversation.ask("farcell_environment_request", {"distributions": list(names)})
        return environment.compare(self._options, answer)

    def tell(self, capture: Capture, imports: Iterable[str]) -> None:
        """Once a package: where the target has another version of what the cell imports, or none."""
        if environment.is_own_by(self._options):
            return
        read = {part.value.__name__ for part in capture.parts.values() if isinstance(part.value, ModuleType)}
        new = {name for name in {*read, *imports} if name not in self._compared}
        if not new:
            return
        self._compared |= new
        roots = environment.roots_of(new) - self._compared_roots
        self._compared_roots |= roots
        names = environment.distributions(roots)
        found = self.compare(names) if names else None
        if found is None or found.is_own or not found.differences:
            return
        target = self._options.target
        what = ", ".join(each.as_text for each in found.differences)
        command = f"%remote env sync {target} {' '.join(each.name for each in found.differences)}"
        self._notebook.say(f"{target!r} has other packages than this notebook: {what}. The same ones: {command}")
