"""The way to a machine, by what ssh and the network say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .checks import Check, note, ok, unchecked, wrong

HERE = "this machine"
CONFIGURATION, NETWORK, HOST_KEY, LOGIN, SHELL = "ssh configuration", "network", "host key", "login", "login shell"
SLOW_SHELL_S = 2.0
_SHOWN_LINES = 3


def own_folder(folder: str, fault: str | None) -> Check:
    """Where ssh's shared connections have their sockets, here. `fault`: why they cannot."""
    if fault is not None:
        move = (
            "Set FARCELL_RUNTIME_DIR, where Jupyter and this command are started, to a short folder of your own, such as /tmp/fc."
        )
        return wrong(HERE, fault, move)
    return ok(HERE, f"sockets of connections are in {folder}")


def settings(text: str) -> dict[str, str]:
    """Of `ssh -G`: the first value of each word."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, value)
    return found


def configuration(host: str, code: int, found: Mapping[str, str], errors: str) -> Check:
    if code != 0 or "hostname" not in found:
        return wrong(
            CONFIGURATION,
            f"ssh -G {host}: {_last(errors) or f'exit code {code}'}",
            "Mend ~/.ssh/config, or host and ssh of the target.",
        )
    by = next((f" through {found[key]}" for key in ("proxyjump", "proxycommand") if _is_set(found, key)), "")
    return ok(CONFIGURATION, f"{host} is {found.get('user', '?')}@{found['hostname']}:{found.get('port', '22')}{by}")


def goes_directly(found: Mapping[str, str]) -> bool:
    return not any(_is_set(found, key) for key in ("proxyjump", "proxycommand"))


def _is_set(found: Mapping[str, str], key: str) -> bool:
    return found.get(key, "none") not in ("none", "")


@dataclass(frozen=True)
class Reached:
    """What came of a TCP connection: the server's first line, or what was in the way ("name", "refused", "silent", "other")."""

    banner: str = ""
    fault: str = ""
    detail: str = ""
    seconds: float = 0.0


def network(host: str, port: str, reached: Reached) -> Check:
    where = f"{host}:{port}"
    if reached.fault == "name":
        return wrong(
            NETWORK,
            f"no machine is known by the name {host} ({reached.detail})",
            "Mend host of the target, or join its network (VPN).",
        )
    if reached.fault == "refused":
        return wrong(NETWORK, f"{where} refuses connections", "Does sshd run there, on this port? Set Port in ~/.ssh/config.")
    if reached.fault:
        return wrong(NETWORK, f"{where}: {reached.detail}", "Is the machine up, and does a firewall or VPN stand between?")
    if not reached.banner.startswith("SSH-"):
        what = f"answers with {reached.banner[:40]!r}" if reached.banner else "says nothing"
        return wrong(NETWORK, f"{where} {what}, which is no SSH server", "Set the port of its SSH server: Port in ~/.ssh/config.")
    return ok(NETWORK, f"{where} answers in {reached.seconds * 1000:.0f} ms ({reached.banner.split('-', 2)[-1]})")


def logged_in(host: str, account: str, seconds: float) -> list[Check]:
    return [ok(HOST_KEY, "it is the one that is known"), ok(LOGIN, f"as {account}, {seconds:.1f} s")]


def not_logged_in(target: str, host: str, said: str, can_ask: bool) -> list[Check]:
    """By what ssh said."""
    if "has changed and you have requested strict checking" in said:
        fix = f"If it was changed on purpose: ssh-keygen -R {host}, then log in once with: ssh {host}"
        return [wrong(HOST_KEY, "it is not the one that is known: another machine may pretend to be this one", fix), _no_key()]
    if "Host key verification failed" in said:
        fix = f"Log in once with: ssh {host}   and compare the fingerprint with what its administrator says."
        return [wrong(HOST_KEY, "it is not known yet", fix), _no_key()]
    if any(words in said for words in ("Permission denied", "Too many authentication failures", "Authentication failed")):
        ways = said.rpartition("(")[2].partition(")")[0] if "(" in said.splitlines()[-1] else ""
        offers = f"; it takes: {ways}" if ways and "Permission denied" in said else ""
        ask = "" if can_ask else " From a terminal, doctor asks what ssh asks."
        places = "user of the target, the key (ssh-add -l, IdentityFile), and ~/.ssh/authorized_keys there"
        fix = f"Does `ssh {host}` work? Check {places}.{ask}"
        return [ok(HOST_KEY, "it is the one that is known"), wrong(LOGIN, f"refused{offers}", fix)]
    return [unchecked(HOST_KEY, "ssh did not get so far"), wrong(LOGIN, _last(said), f"What does ssh -v {host} say?")]


def _no_key() -> Check:
    return unchecked(LOGIN, "the host's key was not accepted")


def login_shell(code: int, output: str, errors: str, seconds: float, host: str) -> Check:
    """By what it prints by itself, and how it ends, when `sh` is started in it for an empty script."""
    if code != 0:
        said = _last(errors) or _last(output) or "nothing"
        return wrong(
            SHELL,
            f"it does not run commands (exit code {code}): {said}",
            f"`ssh {host} true` must end with 0: is there a ForceCommand, a disabled account, or an `exit` in .bashrc?",
        )
    noise = [line for line in [*output.splitlines(), *errors.splitlines()] if line.strip()]
    took = f"{seconds:.1f} s" if seconds >= SLOW_SHELL_S else ""
    if noise:
        shown = "; ".join(line.strip()[:60] for line in noise[:_SHOWN_LINES]) + ("; ..." if len(noise) > _SHOWN_LINES else "")
        fix = "farcell reads past it, scp and rsync may not: print it in interactive shells only (case $- in *i*) ...)."
        return note(SHELL, f"prints by itself: {shown}" + (f"; takes {took}" if took else ""), fix)
    if took:
        return note(
            SHELL, f"takes {took} to start", "Each start of a session waits for it: look into .bashrc and .profile there."
        )
    return ok(SHELL, "runs commands and prints nothing by itself")


def not_reached(names: Sequence[str], why: str) -> list[Check]:
    return [unchecked(name, why) for name in names]


def _last(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""
