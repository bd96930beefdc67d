"""ssh's questions, asked by a socket in a test's hand."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from farcell.backends.ssh.askpass import kind_of, process_name
from farcell.backends.ssh.questions import Question, Questions
from farcell_host.runtime import RuntimeFolderError
from sandbox import Sandbox

WAIT_S = 10.0
SSH = 4711
PASSWORD = "(ada@gpu-a) Password: "


class Person:
    """Answers with what it was given, in order, then declines; remembers what it was asked."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> str | None:
        self.asked.append(question)
        return self.answers.pop(0) if self.answers else None


@contextmanager
def helper(
    questions: Questions, text: str = PASSWORD, *, hint: str = "", asker: int = SSH, token: str | None = None
) -> Iterator[socket.socket]:
    """A helper that has asked and waits."""
    said = questions.environment()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(WAIT_S)
        connection.connect(said["FARCELL_ASKPASS"])
        question = {"token": token or said["FARCELL_ASKPASS_TOKEN"], "text": text, "hint": hint, "asker": asker}
        connection.sendall(json.dumps(question).encode() + b"\n")
        yield connection


def reply(connection: socket.socket) -> str | None:
    """Raises EOFError where there will be none."""
    line = connection.makefile("rb").readline()
    if not line:
        raise EOFError
    answer: str | None = json.loads(line)["answer"]
    return answer


def ask(questions: Questions, text: str = PASSWORD, *, hint: str = "", asker: int = SSH) -> str | None:
    with helper(questions, text, hint=hint, asker=asker) as connection:
        return reply(connection)


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        ("secret", "ada@gpu-a's password: ", ""),
        ("secret", "(ada@gpu-a) Password: ", ""),
        ("secret", "Enter passphrase for key '/home/ada/.ssh/one-time code': ", ""),
        ("secret", "Enter PIN for ED25519-SK key /home/ada/.ssh/id_ed25519_sk: ", ""),
        ("secret", "(ada@gpu-a) Password & verification code: ", ""),
        ("secret", "(ada@gpu-a) First Factor or Password: ", ""),
        ("secret", "(ada@gpu-a) Enter PASSCODE: ", ""),
        ("secret", "(ada@gpu-a) Response: ", ""),
        ("secret", "(ada@gpu-a) Pretend to be ssh (yes/no)? ", ""),
        ("text", "(ada@gpu-a) Verification code: ", ""),
        ("text", "(ada@gpu-a) One-time password (OATH) for `ada': ", ""),
        ("text", "(ada@gpu-a) Second Factor (optional): ", ""),
        ("text", "(ada@gpu-a) Duo two-factor login for ada\n\n 1. Duo Push to XXX\n\nPasscode or option (1-1): ", ""),
        (
            "confirm",
            "The authenticity of host 'gpu-a (10.0.0.7)' can't be established.\nED25519 key fingerprint is SHA256:x.\n"
            "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
            "",
        ),
        ("confirm", "Please type 'yes', 'no' or the fingerprint: ", ""),
        ("confirm", "Allow shared connection to gpu-a? ", "confirm"),
        ("notice", "Confirm user presence for key ED25519-SK SHA256:x", "none"),
        ("notice", "Confirm user presence for key ED25519-SK SHA256:x", ""),
    ],
)
def test_kinds_are_told_apart_by_ssh_s_words(kind: str, text: str, hint: str) -> None:
    """What ssh and the usual servers write; what is not known for sure is hidden."""
    assert kind_of(text, hint) == kind


def test_a_question_reaches_the_person_and_the_answer_ssh() -> None:
    """Text, kind and answer pass unchanged, whatever letters they are made of."""
    person = Person('gehe\'im "ß" ✓')
    with Questions(person) as questions:
        assert ask(questions, "Paßwort für 'ä b'? ") == 'gehe\'im "ß" ✓'
    assert person.asked == [Question("Paßwort für 'ä b'? ", "secret")]
    assert questions.declined is None


def test_only_this_user_reaches_the_socket() -> None:
    """The folder is 0700, the socket 0600, the script executable for its owner alone; the token is long and new each time."""
    with Questions(Person()) as questions, Questions(Person()) as others:
        said = questions.environment()
        modes = [
            stat.S_IMODE(os.stat(path).st_mode)
            for path in (Path(said["SSH_ASKPASS"]).parent, said["SSH_ASKPASS"], said["FARCELL_ASKPASS"])
        ]
        assert modes == [0o700, 0o700, 0o600]
        assert len(said["FARCELL_ASKPASS_TOKEN"]) > 40
        assert said["FARCELL_ASKPASS_TOKEN"] != others.environment()["FARCELL_ASKPASS_TOKEN"]
        assert said["FARCELL_ASKPASS_TOKEN"] not in Path(said["SSH_ASKPASS"]).read_text()
        assert said["SSH_ASKPASS_REQUIRE"] == "force"


@pytest.mark.parametrize("token", ["wrong", "\udcff", "é"])
def test_a_stranger_s_token_is_refused(token: str) -> None:
    """Nobody is asked, and the stranger hears nothing; the next helper is served."""
    person = Person("sesame")
    with Questions(person) as questions:
        with helper(questions, token=token) as connection, pytest.raises(EOFError):
            reply(connection)
        assert person.asked == []
        assert ask(questions) == "sesame"


@pytest.mark.parametrize("line", [b"\n", b"hello\n", b"[1]\n", b'{"token": 1}\n', b'"x"\n', b"x" * 100_000, b"\xff\xfe\n"])
def test_what_is_no_question_is_refused(line: bytes) -> None:
    """And disturbs nobody else."""
    person = Person("sesame")
    with Questions(person) as questions:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(WAIT_S)
            connection.connect(questions.environment()["FARCELL_ASKPASS"])
            with pytest.raises((EOFError, ConnectionError)):
                connection.sendall(line)
                reply(connection)
        assert ask(questions) == "sesame"
    assert len(person.asked) == 1


def test_a_question_asked_again_is_known_to_be_repeated() -> None:
    """Per ssh and per text: another ssh's password and another question are new."""
    person = Person(*"abcde")
    with Questions(person) as questions:
        ask(questions)
        ask(questions, "(ada@gpu-a) Verification code: ")
        ask(questions)
        ask(questions, asker=SSH + 1)
        ask(questions, "(ada@gpu-a) Verification code: ")
    assert [question.is_repeated for question in person.asked] == [False, False, True, False, True]


def test_after_three_wrong_answers_nobody_is_asked_again() -> None:
    """Also where ssh goes on with its other method for passwords; another ssh may ask."""
    person = Person(*"abcd")
    with Questions(person) as questions:
        assert [ask(questions) for _ in range(3)] == ["a", "b", "c"]
        assert ask(questions, "ada@gpu-a's password: ") is None
        assert questions.declined is not None and questions.declined.text == "ada@gpu-a's password: "
        assert ask(questions, asker=SSH + 1) == "d"
    assert len(person.asked) == 4


def test_who_has_declined_is_not_asked_again_by_the_same_ssh() -> None:
    """Whatever it wants to know next."""
    person = Person(None, "x")
    with Questions(person) as questions:
        assert ask(questions, "Enter passphrase for key 'a': ") is None
        assert ask(questions) is None
        assert ask(questions, asker=SSH + 1) == "x"
    assert len(person.asked) == 2


def test_a_notice_is_shown_and_declines_nothing() -> None:
    """None is its only answer, and the next question is asked as ever."""
    person = Person(None, None, "1234")
    with Questions(person) as questions:
        assert ask(questions, "Confirm user presence for key x", hint="none") is None
        assert ask(questions, "Confirm user presence for key x", hint="none") is None
        assert ask(questions, "Enter PIN for key x: ") == "1234"
    assert [(question.kind, question.is_repeated) for question in person.asked] == [
        ("notice", False),
        ("notice", False),
        ("secret", False),
    ]
    assert questions.declined is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_whoever_cannot_ask_declines(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    """An error of the asking side is logged, Ctrl-C is not; the questions go on."""

    def person(question: Question) -> str | None:
        if question.text == PASSWORD:
            raise error("no front end")
        return "x"

    with Questions(person) as questions:
        assert ask(questions) is None
        assert ask(questions, asker=SSH + 1, text="Response: ") == "x"
    assert ("no front end" in caplog.text) == (error is RuntimeError)


def test_a_person_is_asked_one_thing_at_a_time() -> None:
    """Two ssh that ask together: the second waits for its turn."""
    first_asked, go_on = threading.Event(), threading.Event()
    at_once: list[int] = []
    inside = 0

    def person(question: Question) -> str:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        first_asked.set()
        assert go_on.wait(WAIT_S)
        inside -= 1
        return question.text

    with Questions(person) as questions, helper(questions, "A") as a:
        assert first_asked.wait(WAIT_S)
        with helper(questions, "B", asker=SSH + 1) as b:
            go_on.set()
            assert (reply(a), reply(b)) == ("A", "B")
    assert at_once == [1, 1]


def test_a_question_is_gone_when_its_helper_is() -> None:
    """Whoever asks a person can stop; that declines nothing."""
    asked: list[Question] = []
    is_asked, was_told = threading.Event(), threading.Event()

    def person(question: Question) -> str | None:
        asked.append(question)
        is_asked.set()
        if question.gone.wait(WAIT_S):
            was_told.set()
        return None

    with Questions(person) as questions:
        with helper(questions):
            assert is_asked.wait(WAIT_S)
            assert not asked[0].gone.is_set()
        assert was_told.wait(WAIT_S)
    assert questions.declined is None


def test_everything_ends_with_the_context(sandbox: Sandbox) -> None:
    """Who waits hears the end, threads and folder are gone, and the environment is not given out any more."""
    is_asked = threading.Event()

    def person(question: Question) -> str | None:
        is_asked.set()
        assert question.gone.wait(WAIT_S)
        return "too late"

    before = set(threading.enumerate())
    with Questions(person) as questions:
        said = questions.environment()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(WAIT_S)
        connection.connect(said["FARCELL_ASKPASS"])
        connection.sendall(
            json.dumps({"token": said["FARCELL_ASKPASS_TOKEN"], "text": "?", "hint": "", "asker": 1}).encode() + b"\n"
        )
        assert is_asked.wait(WAIT_S)
    with connection, pytest.raises(EOFError):
        reply(connection)
    assert set(threading.enumerate()) <= before
    assert not Path(said["SSH_ASKPASS"]).exists() and list(sandbox.runtime.iterdir()) == []
    with pytest.raises(RuntimeError, match="within their context"):
        questions.environment()


def test_the_end_does_not_wait_for_a_person_who_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever goes on asking a withdrawn question is named in the log; the late answer goes nowhere."""
    monkeypatch.setattr("farcell.backends.ssh.questions.ASKING_S", 0.1)
    is_asked, go_on = threading.Event(), threading.Event()

    def stubborn(question: Question) -> str:
        is_asked.set()
        assert go_on.wait(WAIT_S)
        return "late"

    with Questions(stubborn) as questions:
        with helper(questions):
            assert is_asked.wait(WAIT_S)
        asking = next(thread for thread in threading.enumerate() if thread.name == "farcell-asking")
    assert "withdrawn" in caplog.text and "stubborn" in caplog.text
    go_on.set()
    asking.join(WAIT_S)
    assert not asking.is_alive()


def test_a_place_too_long_for_sockets_is_said_and_nothing_is_left(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable to set."""
    monkeypatch.setenv("FARCELL_RUNTIME_DIR", str(sandbox.folder / ("x" * 120)))
    before = set(threading.enumerate())
    with pytest.raises(RuntimeFolderError, match="Set FARCELL_RUNTIME_DIR to a shorter folder"), Questions(Person()):
        pass
    assert set(threading.enumerate()) <= before


def test_a_process_s_name_is_found_with_and_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no /proc."""
    names = [process_name(os.getpid())]
    monkeypatch.setenv("FARCELL_WITHOUT", "proc")
    names.append(process_name(os.getpid()))
    assert names[0] and names[0] == names[1]
