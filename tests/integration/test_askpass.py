"""The system's own ssh asks, a real server on loopback wants to know, and a person in the test's hand answers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from shutil import which

import psutil
import pytest
from farcell.backends.ssh import askpass
from farcell.backends.ssh.questions import Question, Questions
from sandbox import Sandbox
from services.asking import Server, serving

LIMIT_S = 30.0
DECLINED_S = 10.0
"""A login that nobody answers ends long before a server loses its patience."""


@pytest.fixture(autouse=True, scope="module")
def openssh() -> None:
    if which("ssh") is None or which("ssh-keygen") is None:
        reason = "there is no ssh here: apt-get install openssh-client"
        if "ssh" in os.environ.get("FARCELL_REQUIRE", "").replace(" ", "").split(","):
            pytest.fail(reason)
        pytest.skip(f"optional: {reason}")


class Person:
    """Answers by what stands in the question; declines what it does not know."""

    def __init__(self, **answers: str | list[str]) -> None:
        self.answers = answers
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> str | None:
        self.asked.append(question)
        for word, answer in self.answers.items():
            if word in question.text:
                return answer if isinstance(answer, str) else answer.pop(0)
        return None

    def heard(self) -> list[tuple[str, str, bool]]:
        """(last line, kind, is_repeated) of each."""
        return [(question.text.splitlines()[-1], question.kind, question.is_repeated) for question in self.asked]


class Client:
    """ssh with a configuration of its own, under which it sees nothing of this machine's."""

    def __init__(self, sandbox: Sandbox, server: Server, *more: str) -> None:
        self.known_hosts = sandbox.folder / "known_hosts"
        self.config = sandbox.folder / "ssh_config"
        lines = [
            f"Host gpu-a jump\n  HostName 127.0.0.1\n  Port {server.port}\n  User ada",
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking accept-new",
            "  IdentityFile none\n  IdentityAgent none\n  GSSAPIAuthentication no\n  ConnectTimeout 20",
        ]
        self.config.write_text("\n".join([*more, *lines]) + "\n")

    def start(self, questions: Questions | None, *options: str, host: str = "gpu-a") -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ssh", "-F", str(self.config), *options, host],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | (questions.environment() if questions is not None else {}),
        )

    def run(self, questions: Questions | None, *options: str, host: str = "gpu-a") -> tuple[int, str, str]:
        """(exit code, stdout, stderr). A jump's ssh may outlive the one that started it, and holds its stderr: it is ended."""
        with self.start(questions, *options, host=host) as process:
            try:
                code = process.wait(LIMIT_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            out, errors = process.communicate(timeout=LIMIT_S)
        return code, out, errors


def test_a_password_is_asked_in_the_notebook(sandbox: Sandbox) -> None:
    """ssh logs in with what the person answered."""
    person = Person(password="open sesame ß")
    with serving(Server(password="open sesame ß")) as server, Questions(person) as questions:
        code, out, errors = Client(sandbox, server).run(questions)
    assert (code, out) == (0, "welcome\n"), errors
    assert person.heard() == [("ada@127.0.0.1's password: ", "secret", False)]
    assert server.told == ["open sesame ß"]


def test_a_wrong_password_is_asked_for_again(sandbox: Sandbox) -> None:
    """And the person is told that it is the second time."""
    person = Person(password=["wrong", "right"])
    with serving(Server(password="right")) as server, Questions(person) as questions:
        code, out, errors = Client(sandbox, server).run(questions)
    assert (code, out) == (0, "welcome\n"), errors
    assert [repeated for _, _, repeated in person.heard()] == [False, True]


def test_three_wrong_passwords_are_all(sandbox: Sandbox) -> None:
    """Whatever ssh is set to: an account is not locked by us."""
    person = Person(password=["1", "2", "3", "4", "5"])
    with serving(Server(password="right")) as server, Questions(person) as questions:
        code, _, _ = Client(sandbox, server).run(questions, "-o", "NumberOfPasswordPrompts=5")
    assert code == -signal.SIGTERM
    assert server.told == ["1", "2", "3"]
    assert questions.declined is not None


def test_a_password_and_then_a_code(sandbox: Sandbox) -> None:
    """Two questions by keyboard-interactive; the code may be seen while it is typed."""
    person = Person(Password="pw", code="123456")
    with serving(Server(password="pw", code="123456")) as server, Questions(person) as questions:
        code, out, errors = Client(sandbox, server).run(questions)
    assert (code, out) == (0, "welcome\n"), errors
    assert person.heard() == [
        ("(ada@127.0.0.1) Password: ", "secret", False),
        ("(ada@127.0.0.1) Verification code: ", "text", False),
    ]


def test_a_wrong_code_asks_for_both_again(sandbox: Sandbox) -> None:
    """As the server does."""
    person = Person(Password="pw", code=["000000", "123456"])
    with serving(Server(password="pw", code="123456")) as server, Questions(person) as questions:
        code, _, errors = Client(sandbox, server).run(questions)
    assert code == 0, errors
    assert [repeated for _, _, repeated in person.heard()] == [False, False, True, True]
    assert server.told == ["pw", "000000", "pw", "123456"]


def test_a_shared_connection_is_opened_with_a_code(sandbox: Sandbox) -> None:
    """`ssh -M -N -f` goes to the background once the person has answered; the next ssh over it asks nothing."""
    person = Person(Password="pw", code="123456")
    options = ("-S", str(sandbox.folder / "mux"), "-o", "BatchMode=yes")
    with serving(Server(password="pw", code="123456")) as server:
        client = Client(sandbox, server)
        # A log, since the connection in the background would keep the pipe open.
        start = ("-M", "-N", "-f", "-E", str(sandbox.folder / "log"), *options[:2])
        with Questions(person) as questions, client.start(questions, *start) as process:
            assert process.wait(LIMIT_S) == 0
        try:
            assert client.run(None, *options)[:2] == (0, "welcome\n")
        finally:
            assert client.run(None, *options, "-O", "exit")[0] == 0
    assert len(person.asked) == 2


def test_the_jump_host_s_password_is_another_question(sandbox: Sandbox) -> None:
    """Two ssh at work, each asks for its own."""
    person = Person(password="pw")
    with serving(Server(password="pw")) as server, Questions(person) as questions:
        client = Client(sandbox, server, "Host gpu-a\n  ProxyJump jump")
        code, out, errors = client.run(questions)
    assert (code, out) == (0, "welcome\n"), errors
    assert [repeated for _, _, repeated in person.heard()] == [False, False]


def test_an_unknown_host_key_is_accepted_with_yes(sandbox: Sandbox) -> None:
    """The question shows the fingerprint; then ssh keeps the key and asks no more."""
    person = Person(**{"yes/no": "yes", "password": "pw"})
    with serving(Server(password="pw")) as server, Questions(person) as questions:
        client = Client(sandbox, server)
        strict = ("-o", "StrictHostKeyChecking=ask")
        assert client.run(questions, *strict)[0] == 0
        assert client.known_hosts.read_text().startswith(f"[127.0.0.1]:{server.port} ssh-ed25519 ")
        assert client.run(questions, *strict)[0] == 0
    assert [question.kind for question in person.asked] == ["confirm", "secret", "secret"]
    assert "SHA256:" in person.asked[0].text and "authenticity of host" in person.asked[0].text


@pytest.mark.parametrize("answer", ["no", None])
def test_an_unknown_host_key_is_turned_down(sandbox: Sandbox, answer: str | None) -> None:
    """ssh ends with 255; the key is not kept and the server is told nothing."""
    person = Person(**({"yes/no": answer} if answer else {}), password="pw")
    with serving(Server(password="pw")) as server, Questions(person) as questions:
        client = Client(sandbox, server)
        start = time.monotonic()
        code, _, errors = client.run(questions, "-o", "StrictHostKeyChecking=ask")
    assert code == 255 and "Host key verification failed" in errors
    assert time.monotonic() - start < DECLINED_S
    assert not client.known_hosts.exists() and server.told == [] and len(person.asked) == 1
    assert (questions.declined is None) == (answer == "no")


def test_a_key_s_passphrase_is_asked(sandbox: Sandbox) -> None:
    """Again after a wrong one."""
    key = sandbox.folder / "a key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "long phrase", "-f", str(key)], check=True, timeout=LIMIT_S)
    person = Person(passphrase=["wrong", "long phrase"])
    public = Path(f"{key}.pub").read_text()
    with serving(Server(public_key=public)) as server, Questions(person) as questions:
        code, out, errors = Client(sandbox, server, f'Host gpu-a\n  IdentityFile "{key}"').run(questions)
    assert (code, out) == (0, "welcome\n"), errors
    text = f"Enter passphrase for key '{key}': "
    assert person.heard() == [(text, "secret", False), (text, "secret", True)]


@pytest.mark.parametrize("without", ["", "proc"])
def test_a_declined_password_ends_ssh_before_the_server_hears_of_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    """ssh by itself would send an empty password three times, for which accounts are locked."""
    monkeypatch.setenv("FARCELL_WITHOUT", without)
    person = Person()
    with serving(Server(password="pw")) as server, Questions(person) as questions:
        start = time.monotonic()
        code, _, _ = Client(sandbox, server).run(questions)
    assert code == -signal.SIGTERM and time.monotonic() - start < DECLINED_S
    assert server.told == [] and len(person.asked) == 1
    assert questions.declined == person.asked[0]


def test_a_declined_code_ends_ssh_after_the_password(sandbox: Sandbox) -> None:
    """The login was begun, no code was sent."""
    person = Person(Password="pw")
    with serving(Server(password="pw", code="123456")) as server, Questions(person) as questions:
        assert Client(sandbox, server).run(questions)[0] == -signal.SIGTERM
    assert server.told == ["pw"]


def test_a_jump_host_s_declined_password_ends_both(sandbox: Sandbox) -> None:
    """The ssh behind it sees its way closed: 255."""
    with serving(Server(password="pw")) as server, Questions(Person()) as questions:
        assert Client(sandbox, server, "Host gpu-a\n  ProxyJump jump").run(questions)[0] == 255
    assert server.told == []


def test_the_end_of_the_context_ends_an_ssh_that_waits(sandbox: Sandbox) -> None:
    """The helper exits, ssh sends nothing."""
    is_asked = threading.Event()

    def person(question: Question) -> str | None:
        is_asked.set()
        question.gone.wait(LIMIT_S)
        return "too late"

    with serving(Server(password="pw")) as server:
        with Questions(person) as questions:
            process = Client(sandbox, server).start(questions)
            assert is_asked.wait(LIMIT_S)
        with process:
            assert process.wait(DECLINED_S) == -signal.SIGTERM
    assert server.told == []


def test_a_killed_ssh_withdraws_its_question(sandbox: Sandbox) -> None:
    """The helper does not wait for ever, and the person need not answer any more."""
    asked: list[Question] = []
    is_asked = threading.Event()
    helpers: list[psutil.Process] = []

    def person(question: Question) -> str | None:
        asked.append(question)
        is_asked.set()
        question.gone.wait(LIMIT_S)
        return None

    with serving(Server(password="pw")) as server, Questions(person) as questions:
        with Client(sandbox, server).start(questions) as process:
            assert is_asked.wait(LIMIT_S)
            helpers = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        assert asked[0].gone.wait(LIMIT_S)
        assert len(helpers) == 1
        psutil.wait_procs(helpers, timeout=LIMIT_S)
        assert not helpers[0].is_running() or helpers[0].status() == psutil.STATUS_ZOMBIE
    assert questions.declined is None


def test_an_answer_is_nowhere_but_in_memory(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a file of ours, a command line, an environment or a log, while the login goes on or after it."""
    secret = "tell-nobody-81"
    found: list[str] = []

    def person(question: Question) -> str:
        if "Password" in question.text:
            return secret
        found.extend(_places(secret, sandbox.folder))
        return "123456"

    caplog.set_level("DEBUG")
    with serving(Server(password=secret, code="123456")) as server, Questions(person) as questions:
        code, out, errors = Client(sandbox, server).run(questions)
        assert code == 0
        found.extend(_places(secret, sandbox.folder))
        found.extend(_places(questions.environment()[askpass.TOKEN], sandbox.folder, variables=False))
    assert found == []
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("farcell"))
    assert secret not in ours + out + errors


def _places(secret: str, folder: Path, variables: bool = True) -> list[str]:
    places = [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    for process in psutil.process_iter():
        try:
            words = process.cmdline() + (list(process.environ().values()) if variables else [])
        except psutil.Error:
            continue
        places += [f"process {process.pid}" for word in words if secret in word]
    return places


ASK = 'answer=$("$SSH_ASKPASS" "$0"); code=$?; echo "$answer"; exit $code'
"""As ssh runs it, in a shell, which the helper does not end."""


def shell(environment: dict[str, str], text: str = 'What\'s the "word"? ') -> tuple[int, str]:
    run = subprocess.run(
        ["sh", "-c", ASK, text], env=os.environ | environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert run.stderr == ""
    return run.returncode, run.stdout


@pytest.mark.parametrize("change", [{askpass.TOKEN: "x" * 43}, {askpass.TOKEN: ""}, {askpass.SOCKET: "/nowhere"}])
def test_a_stranger_s_helper_gets_no_answer(change: dict[str, str]) -> None:
    """It exits with 1, nobody is asked, and the one who may ask still can."""
    person = Person(word="sesame")
    with Questions(person) as questions:
        assert shell(questions.environment() | change) == (1, "\n")
        assert person.asked == []
        assert shell(questions.environment()) == (0, "sesame\n")


STRANGER = """
import json, os, socket, sys
os.seteuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(os.environ["FARCELL_ASKPASS"])
question = {"token": os.environ["FARCELL_ASKPASS_TOKEN"], "text": "word?", "hint": "", "asker": 1}
try:
    connection.sendall(json.dumps(question).encode() + b"\\n")
    print("heard", connection.recv(100))
except ConnectionError:
    print("heard", b"")
"""


def test_another_user_is_turned_away_even_with_the_token(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Were the folder open by mistake, the socket still knows who speaks."""
    if os.geteuid() != 0:
        pytest.skip("optional: only root can be another user")
    person = Person(word="sesame")
    with Questions(person) as questions:
        said = questions.environment()
        for path in (sandbox.folder, sandbox.runtime, Path(said[askpass.SOCKET]).parent, Path(said[askpass.SOCKET])):
            path.chmod(0o777)
        run = subprocess.run(
            [sys.executable, "-c", STRANGER], env=os.environ | said, capture_output=True, timeout=LIMIT_S, check=False
        )
        assert run.stdout == b"heard b''\n", run.stderr
    assert person.asked == [] and "user 65534 was turned away" in caplog.text


def test_a_notice_is_gone_when_ssh_ends_its_helper() -> None:
    """So ssh does once the security key was touched."""
    asked: list[Question] = []
    is_asked = threading.Event()

    def person(question: Question) -> None:
        asked.append(question)
        is_asked.set()
        question.gone.wait(LIMIT_S)

    with Questions(person) as questions:
        environment = os.environ | questions.environment() | {askpass.HINT: "none"}
        with subprocess.Popen([environment["SSH_ASKPASS"], "Confirm user presence for key x"], env=environment) as helper:
            assert is_asked.wait(LIMIT_S)
            helper.terminate()
        assert asked[0].gone.wait(LIMIT_S)
    assert asked[0].kind == "notice" and helper.returncode == -signal.SIGTERM


PROGRAM = """
import os, subprocess, sys
from farcell.backends.ssh.questions import Questions
with Questions(lambda question: "sesame") as questions:
    script = questions.environment()["SSH_ASKPASS"]
    run = subprocess.run([script, "What?"], env={**os.environ, **questions.environment()}, stdout=subprocess.PIPE, timeout=30)
print(run.stdout.decode().strip(), run.returncode, os.path.exists(os.path.dirname(script)), script, sep="|")
"""


def test_blanks_and_quotes_in_every_path(sandbox: Sandbox) -> None:
    """In the runtime folder's, in Python's and in farcell's own."""
    odd = sandbox.folder / 'it\'s "a b" $HOME'
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(odd / "venv")], check=True, timeout=LIMIT_S * 2)
    package = Path(askpass.__file__).parents[2]
    (odd / "code").mkdir()
    (odd / "code" / "farcell").symlink_to(package)
    (odd / "r").mkdir()
    environment = sandbox.environment() | {
        "FARCELL_RUNTIME_DIR": str(odd / "r"),
        "PYTHONPATH": os.pathsep.join([str(odd / "code"), *filter(None, sys.path)]),
    }
    run = subprocess.run(
        [str(odd / "venv" / "bin" / "python"), "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S * 2,
    )
    assert run.stdout.startswith(f"sesame|0|False|{odd}/r/ask-"), run.stderr
    assert list((odd / "r").iterdir()) == []


def test_a_runtime_folder_that_runs_no_programs(sandbox: Sandbox) -> None:
    """/tmp may be mounted noexec: the script is then in the cache folder, and goes with the context."""
    mount = 'mount -t tmpfs -o noexec none "$FARCELL_RUNTIME_DIR" && exec "$0" -c "$1"'
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("optional: a mount of its own needs root (in a container: docker run --privileged)")
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, sys.executable, PROGRAM],
        env=sandbox.environment() | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=LIMIT_S * 2,
        check=False,
    )
    assert run.stdout.startswith(f"sesame|0|False|{sandbox.cache}/ask-"), run.stderr
    assert list(sandbox.cache.glob("ask-*")) == []
