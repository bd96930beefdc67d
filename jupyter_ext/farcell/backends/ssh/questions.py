"""The person's side of ssh's questions: a socket in a 0700 folder, on which the helper of `askpass` tells what ssh wants to know.

Two threads: one looks after the helpers, one asks, since a person is asked one thing at a time. Answers live in memory only.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import queue
import re
import secrets
import selectors
import shlex
import shutil
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from farcell_host import runtime
from farcell_host.capabilities import peer_uid
from farcell_host.chunkstore import cache_folder

from . import askpass
from .askpass import Kind, kind_of

REFUSALS = 3
"""So often the same may be asked by one ssh; after as many wrong answers nobody is asked again, whatever ssh is set to."""
ASKING_S = 2.0
"""So long the end of the context waits for an `ask` that still asks."""
_QUESTION_BYTES = 1 << 16
_LOGIN_PASSWORD = re.compile(r"\([^)]*\) password: *|\S*'s password: *", re.IGNORECASE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """What ssh asks, in its own words. `secret`: hide the answer; `confirm`: "yes", "no" or a host key's fingerprint;
    `notice`: shown while `gone` is not set, and not answered."""

    text: str
    kind: Kind
    is_repeated: bool = False
    """This ssh has asked the same before: the answer was wrong."""
    gone: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    """Set when nobody waits for the answer any more: ssh has ended, or the context has."""


Ask = Callable[[Question], "str | None"]


@dataclass(eq=False)
class _Helper:
    """One connection."""

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    asker: int = 0
    question: Question | None = None


class Questions:
    """Answers ssh's questions by `ask` while the context lasts, for each ssh that is run with `environment()`.

    `ask` is called in a thread of ours, one call at a time; it returns None to decline, and soon after `question.gone` is set. A
    declined password or code ends that ssh by SIGTERM (see `askpass`), a declined host key or a "no" by its exit code 255.
    End ssh before the context: one that asks later, and cannot start its helper, answers its server with nothing.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._token = secrets.token_urlsafe(32)
        self._folder: Path | None = None
        self._script: Path | None = None
        self._asked: queue.SimpleQueue[_Helper | None] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[_Helper, str | None] | None] = queue.SimpleQueue()
        self._given: Counter[tuple[int, str]] = Counter()
        self._over: set[int] = set()
        self.declined: Question | None = None
        """The last question that got no answer, for whoever explains why ssh ended."""

    def __enter__(self) -> Questions:
        """Raises farcell_host.runtime.RuntimeFolderError where there is no safe and short folder, or no script could be run."""
        root = runtime.secure(runtime.root().absolute())
        folder = root / f"ask-{secrets.token_hex(4)}"
        runtime.check_length(folder)
        self._folder = runtime.secure(folder)
        with contextlib.ExitStack() as undo:
            undo.callback(self._remove_files)
            self._script = _write_script(folder)
            self._listener = undo.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.bind(str(folder / runtime.SOCKET))
            os.chmod(folder / runtime.SOCKET, 0o600)
            self._listener.listen()
            self._hearing, self._waking = socket.socketpair()
            undo.pop_all()
        self._threads = (
            threading.Thread(target=self._listen, name="farcell-questions", daemon=True),
            threading.Thread(target=self._ask_in_turn, name="farcell-asking", daemon=True),
        )
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /) -> None:
        listening, asking = self._threads
        self._tell(None)
        listening.join()
        self._asked.put(None)
        asking.join(ASKING_S)
        if asking.is_alive():
            logger.warning("ssh's question is withdrawn, but %r still asks it", self._ask)
        self._waking.close()
        self._remove_files()

    def environment(self) -> dict[str, str]:
        """What to add to ssh's environment. Without a terminal of its own (start_new_session) also ssh before 8.4, where
        DISPLAY is set, asks here."""
        if self._folder is None:
            raise RuntimeError("Questions are answered within their context only.")
        return {
            "SSH_ASKPASS": str(self._script),
            "SSH_ASKPASS_REQUIRE": "force",
            askpass.SOCKET: str(self._folder / runtime.SOCKET),
            askpass.TOKEN: self._token,
        }

    def _listen(self) -> None:
        """The only one that touches the sockets."""
        with selectors.DefaultSelector() as selector, self._listener, self._hearing:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._hearing, selectors.EVENT_READ)
            helpers: set[_Helper] = set()

            def part_with(helper: _Helper) -> None:
                helpers.discard(helper)
                if helper.question is not None:
                    helper.question.gone.set()
                selector.unregister(helper.connection)
                helper.connection.close()

            is_over = False
            while not is_over:
                for key, _ in selector.select():
                    if key.fileobj is self._listener:
                        helper = _welcome(self._listener)
                        if helper is not None:
                            helpers.add(helper)
                            selector.register(helper.connection, selectors.EVENT_READ, helper)
                    elif key.fileobj is self._hearing:
                        self._hearing.recv(1)  # a byte an entry
                        answered = self._answered.get()
                        if answered is None:
                            is_over = True
                        elif answered[0] in helpers:
                            _reply(*answered)
                            part_with(answered[0])
                    elif key.data in helpers and not self._hear(key.data):
                        part_with(key.data)
            for helper in tuple(helpers):
                part_with(helper)

    def _hear(self, helper: _Helper) -> bool:
        """Whether to keep it: neither gone nor a stranger."""
        try:
            received = helper.connection.recv(_QUESTION_BYTES)
        except OSError:
            return False
        helper.received += received
        if not received or len(helper.received) > _QUESTION_BYTES:
            return False
        if helper.question is not None or not helper.received.endswith(b"\n"):
            return True
        try:
            said = json.loads(helper.received)
            token, text, hint = str(said["token"]), str(said["text"]), str(said["hint"])
            helper.asker = int(said["asker"])
        except (ValueError, KeyError, TypeError):
            logger.warning("ssh's questions: something else than a question came")
            return False
        if not hmac.compare_digest(token.encode(errors="replace"), self._token.encode()):
            logger.warning("ssh's questions: a stranger was turned away")
            return False
        text = text.encode(errors="surrogateescape").decode(errors="replace")
        helper.question = Question(text, kind_of(text, hint))
        self._asked.put(helper)
        return True

    def _ask_in_turn(self) -> None:
        while (helper := self._asked.get()) is not None:
            assert helper.question is not None
            if not helper.question.gone.is_set():
                self._tell((helper, self._answer(helper.asker, helper.question)))

    def _answer(self, asker: int, question: Question) -> str | None:
        """By the person, unless this ssh has had its tries."""
        given = self._given[asker, _same(question.text)]
        answer = None
        if asker not in self._over and given < REFUSALS:
            is_repeated = given > 0 and question.kind != "notice"
            answer = self._person_says(Question(question.text, question.kind, is_repeated, question.gone))
        if question.kind == "notice":
            return answer
        if answer is not None:
            self._given[asker, _same(question.text)] += 1
        elif not question.gone.is_set():
            self._over.add(asker)
            self.declined = question
        return answer

    def _person_says(self, question: Question) -> str | None:
        try:
            return self._ask(question)
        except Exception:
            logger.exception("ssh's question could not be asked")
        except BaseException:  # Ctrl-C or a cancelled task of whoever asks: not this thread's to raise
            logger.debug("ssh's question was cancelled")
        return None

    def _tell(self, answered: tuple[_Helper, str | None] | None) -> None:
        self._answered.put(answered)
        with contextlib.suppress(OSError):  # the context has ended meanwhile
            self._waking.send(b"\0")

    def _remove_files(self) -> None:
        folder, self._folder = self._folder, None
        for path in (folder, self._script.parent if self._script is not None else None):
            if path is not None:
                shutil.rmtree(path, ignore_errors=True)


def _welcome(listener: socket.socket) -> _Helper | None:
    """A connection of this very user's."""
    try:
        connection, _ = listener.accept()
        uid = peer_uid(connection)
    except OSError:  # gone already
        return None
    if uid not in (None, os.geteuid()):
        logger.warning("ssh's questions: user %s was turned away", uid)
        connection.close()
        return None
    return _Helper(connection)


def _reply(helper: _Helper, answer: str | None) -> None:
    with contextlib.suppress(OSError):
        helper.connection.sendall(json.dumps({"answer": answer}).encode() + b"\n")


def _same(text: str) -> str:
    """Login's password is one question, whichever of its two methods asks for it."""
    return "password" if _LOGIN_PASSWORD.fullmatch(text) else text


def _write_script(folder: Path) -> Path:
    """What SSH_ASKPASS names: one executable file, which leads to our Python and our helper. Not where files may not be run."""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        cache = cache_folder().absolute()
        cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="ask-", dir=cache))
        if os.statvfs(folder).f_flag & os.ST_NOEXEC:
            folder.rmdir()
            raise runtime.RuntimeFolderError(
                f"Neither in {runtime.root()} nor in {cache} may a program be run, as ssh must to ask for a password. "
                "Set FARCELL_RUNTIME_DIR or FARCELL_CACHE_DIR to a folder on a disk that is not mounted noexec."
            )
    script = folder / "askpass"
    words = [sys.executable, "-I", "-S", str(Path(askpass.__file__).absolute())]
    descriptor = os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    return script
