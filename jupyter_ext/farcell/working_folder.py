"""A target's working folder: files that go into it before a cell, and what the person is told of those that a cell names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import files
from .backends.base import LaunchOptions
from .conversation import Conversation
from .refs import human_bytes
from .relay.notebook import Notebook


class WorkingFolder:
    """Of one target, for as long as one kernel host of it lives. `confirm` asks about very large uploads."""

    def __init__(
        self,
        options: LaunchOptions,
        notebook: Notebook,
        conversation: Conversation,
        confirm: Callable[[int, str, bool], None],
    ) -> None:
        self._options = options
        self._notebook = notebook
        self._conversation = conversation
        self._confirm = confirm
        self._offered: set[str] = set()  # files that the person was told of

    def send(self, asked: Sequence[files.File], yes: bool) -> None:
        """Those that it does not have as they are here."""
        sent = self._differing(asked)
        if not sent:
            return
        size, largest = sum(file.size for file in sent), max(sent, key=lambda file: file.size)
        self._confirm(size, f"{largest.path}, {human_bytes(largest.size)}", yes)
        for pieces, payload in files.requests(sent):
            self._conversation.ask("farcell_files_request", {"write": pieces}, payload)
        for file in sent:
            self._offered.add(file.path)
        which = ", ".join(f"{file.path} ({human_bytes(file.size)})" for file in sent[:3])
        more = f" and {len(sent) - 3} more" if len(sent) > 3 else ""
        self._notebook.say(f"Sent {which}{more} into the working folder of {self._options.target!r}.")

    def offer(self, code: str, sent: Sequence[files.File]) -> None:
        """Once a file: how one that the cell names would go along."""
        if files.shares_folder(self._options):
            return
        shell = self._notebook.shell
        named = files.named_in(code, shell.transform_cell if shell is not None else None)
        new = [file for file in named if file.path not in self._offered and file not in sent]
        lacking = self._differing(new)
        self._offered.update(file.path for file in new)
        if lacking:
            target = self._options.target
            which = ", ".join(f"{file.path} ({human_bytes(file.size)})" for file in lacking)
            options = " ".join(f"--files {file.path!r}" if " " in file.path else f"--files {file.path}" for file in lacking)
            self._notebook.say(
                f"This cell names {which}, which {target!r} has not as here. To send it along: %%remote {target} {options}"
            )

    def _differing(self, asked: Sequence[files.File]) -> list[files.File]:
        """Those that it does not have with the same content."""
        if not asked:
            return []
        conversation = self._conversation
        with conversation.turns.interrupts.raising():
            compare = [file.as_json() for file in asked]
        around = conversation.exchange.capture(())  # the working folder may be another one by now
        if around.stamps:
            conversation.ask_state(around, drop=around.deleted)
        answer, _ = conversation.ask("farcell_files_request", {"compare": compare})
        return [file for file in asked if file.path in answer["differing"]]
