"""A target's files: those that go into its working folder before a cell, what the person is told of those that a cell names, and
those that are copied there and back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from farcell_host.filetree import Entry

from . import files
from .backends.base import LaunchOptions
from .conversation import Conversation
from .copying import Copied, Copy, Here, Progress, There, copy, send
from .life import Life
from .refs import human_bytes
from .relay.line import Line, transfer
from .relay.notebook import Notebook


class WorkingFolder:
    """Of one target, for as long as one kernel host of it lives. `confirm` asks about very large uploads."""

    def __init__(
        self,
        options: LaunchOptions,
        notebook: Notebook,
        life: Life,
        conversation: Conversation,
        confirm: Callable[[int, str, bool], None],
    ) -> None:
        self._options = options
        self._notebook = notebook
        self._life = life
        self._conversation = conversation
        self._confirm = confirm
        self._here = Here(lambda: conversation.turns.interrupts.raising())
        self._there = There(options.target, conversation.ask_files)
        self._offered: set[str] = set()  # files that the person was told of

    def put(self, path: str, there: str | None, exclude: Sequence[str], overwrite: bool, yes: bool) -> Copied:
        """A file or a folder of this side's to the target; raises Refused."""
        self._go_along()
        with self._progress(f"sending {path} to {self._options.target!r}", is_upload=True) as progress:
            return copy(
                self._here,
                self._there,
                path,
                there,
                exclude=exclude,
                overwrite=overwrite,
                confirm=lambda size, largest: self._confirm(size, largest, yes),
                progress=progress,
            )

    def get(self, path: str, here: str | None, exclude: Sequence[str], overwrite: bool) -> Copied:
        """A file or a folder of the target's to this side; raises Refused."""
        self._go_along()
        with self._progress(f"fetching {path} from {self._options.target!r}", is_upload=False) as progress:
            return copy(
                self._there,
                self._here,
                path,
                here,
                exclude=exclude,
                overwrite=overwrite,
                confirm=lambda size, largest: None,
                progress=progress,
                is_foreign=self._options.takes_data_alone,
            )

    def send(self, asked: Sequence[Entry], yes: bool) -> None:
        """Those that it does not have as they are here."""
        sent = self._differing(asked)
        if not sent:
            return
        size, largest = sum(file.size for file in sent), max(sent, key=lambda file: file.size)
        self._confirm(size, f"{largest.path}, {human_bytes(largest.size)}", yes)
        with self._progress(f"sending files to {self._options.target!r}", is_upload=True) as progress:
            progress.total = size
            send(self._here, self._there, [Copy(file.path, file.path, file) for file in sent], progress)
        for file in sent:
            self._offered.add(file.path)
        which = ", ".join(f"{file.path} ({human_bytes(file.size)})" for file in sent[:3])
        more = f" and {len(sent) - 3} more" if len(sent) > 3 else ""
        self._notebook.say(f"Sent {which}{more} into the working folder of {self._options.target!r}.")

    def offer(self, code: str, sent: Sequence[Entry]) -> None:
        """Once a file: how one that the cell names would go along."""
        if files.shares_folder(self._options) or not self._conversation.can_copy:
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

    def _differing(self, asked: Sequence[Entry]) -> list[Entry]:
        """Those that it does not have with the same content."""
        if not asked:
            return []
        self._go_along()
        same = [[file.path, file.size] for file in asked]
        ours, theirs = (side.ask("digests", files=same)[0] for side in (self._here, self._there))
        return [file for file, one, other in zip(asked, ours, theirs, strict=True) if other is None or one != other]

    def _go_along(self) -> None:
        """The target's working folder may be another one by now."""
        around = self._conversation.exchange.capture(())
        if around.stamps:
            self._conversation.ask_state(around, drop=around.deleted)

    @contextlib.contextmanager
    def _progress(self, text: str, is_upload: bool) -> Iterator[Progress]:
        """A bar for all files together, in the place of one for each request."""
        progress, connection = Progress(), self._life.connection

        def now() -> tuple[int, int]:
            under_way = None if connection is None else connection.uploading() if is_upload else connection.downloading()
            return min(progress.total, progress.done + (under_way[0] if under_way else 0)), progress.total

        bar = transfer(text, now)
        with (
            self._life.showing_no_transfers(),
            Line(self._notebook, lambda seconds: bar(seconds) if progress.total else f"{text}: comparing"),
        ):
            yield progress
