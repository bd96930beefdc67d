"""Questions of other threads to the person, asked on the thread that runs the cell: a front end takes them from there alone."""

from __future__ import annotations

import concurrent.futures
import queue
import time
from typing import TYPE_CHECKING, Any

from .relay.notebook import END_OF_INPUT

if TYPE_CHECKING:
    from .backends.ssh.questions import Question
    from .relay.notebook import Notebook

_LOOK_S = 0.1
"""So often a thread that waits for an answer looks whether anybody still wants it."""


class Desk:
    """`wait` serves what `ask` brings, and waits on for as long as `tell` tells something."""

    def __init__(self, notebook: Notebook, about: str) -> None:
        """`about`: what is waited for at first."""
        self.about = about
        self._notebook = notebook
        self._told_at = 0.0
        self._brought: queue.SimpleQueue[tuple[Question, concurrent.futures.Future[str | None]] | None] = queue.SimpleQueue()

    def ask(self, question: Question) -> str | None:
        """The answer, None when there is none; from any thread but the one that waits."""
        answer: concurrent.futures.Future[str | None] = concurrent.futures.Future()
        self._brought.put((question, answer))
        while not question.gone.is_set():
            try:
                return answer.result(_LOOK_S)
            except concurrent.futures.TimeoutError:
                continue
        return None

    def tell(self, text: str) -> None:
        """What is waited for now; from any thread."""
        self.about = text
        self._told_at = time.monotonic()

    def wait(self, future: concurrent.futures.Future[Any], timeout_s: float) -> None:
        """Until it is done; raises its error, and TimeoutError when nothing was told for so long, where the time that a person
        took does not count."""
        future.add_done_callback(lambda _: self._brought.put(None))
        deadline = time.monotonic() + timeout_s
        while not future.done():
            try:
                brought = self._brought.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                if self._told_at + timeout_s <= time.monotonic():
                    raise concurrent.futures.TimeoutError from None
                deadline = self._told_at + timeout_s
                continue
            if brought is not None:
                began = time.monotonic()
                self._serve(*brought)
                deadline += time.monotonic() - began
        future.result(0)

    def _serve(self, question: Question, answer: concurrent.futures.Future[str | None]) -> None:
        said: str | None = None
        try:
            if question.kind == "notice":
                self._notebook.say(question.text)
            elif not question.gone.is_set():
                again = "That was not right. " if question.is_repeated else ""
                said = self._notebook.ask(again + question.text, password=question.kind == "secret")
        finally:  # also when Ctrl-C ends the asking
            answer.set_result(None if said == END_OF_INPUT else said)
