"""What ssh runs to ask somebody something (ssh(1), SSH_ASKPASS): the question goes to the notebook's kernel, the answer to ssh.

ssh takes a helper that fails for an empty answer, and sends that to the server: measured with 9.2, six refused logins for one
command (three by keyboard-interactive, three by password), for which accounts are locked. So where nobody answers what a server
may see, the helper ends the ssh that asked: nothing was sent then. A helper whose ssh has ended ends by itself.

It runs alone, as `python -I -S askpass.py PROMPT`, with the standard library and little of that: a question appears at once.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
from typing import Literal

Kind = Literal["secret", "text", "confirm", "notice"]

SOCKET = "FARCELL_ASKPASS"
TOKEN = "FARCELL_ASKPASS_TOKEN"
HINT = "SSH_ASKPASS_PROMPT"
"""Set by ssh: `confirm` or `none`, where it wants a yes or shows something."""

_SERVERS = re.compile(r"\([^)]*\) ")
"""Before what a server asks by keyboard-interactive ssh writes `(user@host) `: a server cannot pretend to be ssh."""
_ONE_TIME = re.compile(r"one[- ]?time (password|passcode|pass ?code|code|pin)", re.IGNORECASE)
_HIDDEN = re.compile(r"password|passphrase|\bpin\b|first factor", re.IGNORECASE)
_SHOWN = re.compile(r"\bcode\b|\botp\b|\btotp\b|one-time|second factor|\boption\b|\btoken\b", re.IGNORECASE)
_MESSAGE_BYTES = 1 << 16


def kind_of(text: str, hint: str = "") -> Kind:
    """What sort of question it is. ssh does not tell whether an answer may be seen: in doubt it is hidden."""
    if hint == "none" or text.startswith("Confirm user presence"):
        return "notice"
    if hint == "confirm":
        return "confirm"
    if _SERVERS.match(text) is None and ("(yes/no" in text or text.startswith("Please type 'yes'")):
        return "confirm"
    text = _ONE_TIME.sub("one-time", _SERVERS.sub("", text, count=1))
    return "text" if _SHOWN.search(text) and not _HIDDEN.search(text) else "secret"


def main() -> int:
    text = sys.argv[1] if len(sys.argv) > 1 else ""
    hint = os.environ.get(HINT, "")
    asker = os.getppid()
    question = {"token": os.environ.get(TOKEN, ""), "text": text, "hint": hint, "asker": asker}
    try:
        answer = _answer(os.environ[SOCKET], json.dumps(question).encode() + b"\n")
        if answer is not None:
            os.write(1, answer.encode("utf-8", "surrogateescape") + b"\n")
            return 0
    except (KeyError, OSError, ValueError):  # nobody is there any more, or never was
        pass
    if kind_of(text, hint) in ("secret", "text"):
        _end(asker)
    return 1


def _answer(path: str, message: bytes) -> str | None:
    """Waits for as long as the person takes, ssh lives, and the kernel listens."""
    with socket.socket(socket.AF_UNIX) as kernel:
        kernel.connect(path)
        kernel.sendall(message)
        poll = select.poll()
        poll.register(kernel, select.POLLIN)
        poll.register(1, 0)  # an error of the pipe: ssh, its reader, is gone
        said = b""
        while not said.endswith(b"\n"):
            ready = poll.poll()
            if any(fd == 1 for fd, _ in ready):
                return None
            received = kernel.recv(_MESSAGE_BYTES)
            if not received:
                return None
            said += received
    answer = json.loads(said)["answer"]
    return answer if isinstance(answer, str) else None


def _end(asker: int) -> None:
    """Only an ssh, and only the one that asked: an ssh-agent, or a shell in which somebody tries this, goes on."""
    if os.path.basename(process_name(asker)) == "ssh" and os.getppid() == asker:
        os.kill(asker, signal.SIGTERM)


def process_name(pid: int) -> str:
    """Empty for a process that is gone."""
    if os.path.exists("/proc/self/comm") and "proc" not in os.environ.get("FARCELL_WITHOUT", "").split(","):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                return comm.read().strip()
        except OSError:
            return ""
    import subprocess

    return subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
