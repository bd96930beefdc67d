#!/usr/bin/python3 -IS
"""The only part of the broker that runs as root: kernel hosts in the Unix accounts that CONFIG names, and nothing else.

An administrator installs this one file, owned by root (`farcell-broker helper > /usr/local/sbin/farcell-broker-helper`), and
allows it in one line of sudoers (`farcell-broker sudoers`). Standard library only, Python 3.9 or newer; no shell, no argument is
a path, and no environment variable is read. What touches an account's files or sockets does so under that account, never as root.

    start ACCOUNT LEASE SESSION      options as JSON on stdin; prints what the host says when it listens
    attach ACCOUNT SESSION           bridges stdin and stdout to the host's socket
    connect ACCOUNT SESSION          sends the connected socket over stdin, which is a Unix socket
    processes ACCOUNT LEASE SESSION  prints {"host": whether it lives, "pids": of the lease}
    signal ACCOUNT LEASE TERM|KILL   KILL returns when none of the lease's processes is left
    wipe ACCOUNT LEASE               ends all of the account's processes and empties its home; accounts of a pool only
"""

from __future__ import annotations

import configparser
import contextlib
import ctypes
import fcntl
import grp
import json
import os
import pwd
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

CONFIG = "/etc/farcell-broker/helper.conf"
LEAST_UID = 1000
"""Accounts below are the system's; the configuration may raise it, never lower it."""
NOBODY = 65534
NEVER_GROUPS = "root sudo wheel admin adm disk shadow docker lxd libvirt kmem"
"""An account's hosts are not in these, though the account is: each is a way to become root."""
POOL_MARK = ".farcell-pool"
"""A file of root's in the folder of the pool's homes: without it nothing is wiped there."""
NEVER_HOMES = (
    "/",
    "/home",
    "/root",
    "/etc",
    "/usr",
    "/var",
    "/srv",
    "/opt",
    "/tmp",
    "/boot",
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/mnt",
)
TEMPORARY = "/tmp /var/tmp /dev/shm /dev/mqueue"
START_S = 90.0
END_S = 20.0
TERM_S = 10.0
OPTIONS_BYTES = ANSWER_BYTES = 1 << 16

ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
LEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SESSION = re.compile(r"s-[0-9a-f]{8,16}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
FLAGS = {
    "cwd": re.compile(r"/[^\0\n]{0,1023}"),
    "python": re.compile(r"/[^\0\n]{0,1023}"),
    "idle-timeout": re.compile(r"[0-9.]{1,16}"),
    "keep": re.compile(r"[0-9.]{1,16}"),
    "save-grace": re.compile(r"[0-9.]{1,16}"),
    "price-per-hour": re.compile(r"[0-9.]{1,16}"),
    "notebook": re.compile(r"[0-9a-f]{1,64}"),
    "target": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
}
MARK = "FARCELL_LEASE"
PATH = "/usr/local/bin:/usr/bin:/bin"
PR_SET_NO_NEW_PRIVS = 38
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")


class No(Exception):
    """Why it was not done, for the broker's log."""


# -- what the administrator has said


class Config:
    """CONFIG: owned by root, and so are all folders that lead to it."""

    def __init__(self, path: str = CONFIG) -> None:
        owned_by_root(path)
        parser = configparser.ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=("#", ";"))
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        for section, known in {"helper": {"python", "runtime", "least_uid", "never_groups", "temporary"}, **KINDS}.items():
            if unknown := set(dict(parser).get(section, ())) - known:
                raise No(f"{path}: unknown key {sorted(unknown)[0]!r} in [{section}]")
        sections: dict[str, Mapping[str, str]] = dict(parser)
        helper = sections.get("helper", {})
        self.python = absolute(helper.get("python", ""), "python")
        self.runtime = absolute(helper.get("runtime", "/run/farcell-broker"), "runtime")
        self.least_uid = max(LEAST_UID, int(helper.get("least_uid", LEAST_UID)))
        self.never_groups = frozenset(helper.get("never_groups", NEVER_GROUPS).split())
        self.temporary = [absolute(each, "temporary") for each in helper.get("temporary", TEMPORARY).split()]
        account = sections.get("account", {})
        self.accounts = frozenset(account.get("accounts", "").split())
        self.groups = frozenset(account.get("groups", "").split())
        pool = sections.get("pool", {})
        self.pool = frozenset(pool.get("accounts", "").split())
        self.homes = absolute(pool.get("homes", ""), "homes") if self.pool else ""


KINDS = {"account": {"accounts", "groups"}, "pool": {"accounts", "homes"}}


def absolute(path: str, what: str) -> str:
    if not path.startswith("/") or os.path.normpath(path) != path or "\0" in path:
        raise No(f"{CONFIG}: {what} must be a whole path from / on, without .. and such: {path!r}")
    return path


def owned_by_root(path: str) -> None:
    """Nobody else can have written what is at this path; symbolic links on the way are refused."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        part = "/".join(parts[:end]) or "/"
        found = os.lstat(part)
        is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and end < len(parts)
        if stat.S_ISLNK(found.st_mode) or found.st_uid != 0 or (found.st_mode & 0o022 and not is_sticky):
            raise No(f"{part} must be root's own, for nobody else to write, and no symbolic link")


class Account:
    """One that the configuration names, and that is no system account; raises No for any other."""

    def __init__(self, name: str, config: Config) -> None:
        if not ACCOUNT.fullmatch(name):
            raise No("that is not the name of an account")
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise No(f"there is no account {name}") from None
        self.name, self.uid, self.gid, self.home = name, entry.pw_uid, entry.pw_gid, entry.pw_dir
        self.is_pool = name in config.pool
        if not (self.is_pool or name in config.accounts or self._groups() & config.groups):
            raise No(f"{CONFIG} names no account {name}")
        if self.uid < config.least_uid or self.uid == NOBODY or self.gid == 0:
            raise No(f"{name} is an account of the system (user {self.uid}, group {self.gid})")
        if pwd.getpwuid(self.uid).pw_name != name:
            raise No(f"{name} shares its number with {pwd.getpwuid(self.uid).pw_name}")
        if not self.is_pool and (entry.pw_shell in NO_LOGIN or self._has_expired()):
            raise No(f"{name} may not log in here any more")
        self.groups = [
            number for number in os.getgrouplist(name, self.gid) if number != 0 and group_name(number) not in config.never_groups
        ]
        if group_name(self.gid) in config.never_groups:
            raise No(f"{name} has {group_name(self.gid)} as its first group")
        self.runtime = os.path.join(config.runtime, name)

    def _groups(self) -> frozenset[str]:
        return frozenset(map(group_name, os.getgrouplist(self.name, self.gid)))

    def _has_expired(self) -> bool:
        """shadow(5): the eighth field is a day since 1970."""
        with open("/etc/shadow", encoding="utf-8", errors="replace") as file:
            fields = next((line.rstrip("\n").split(":") for line in file if line.startswith(f"{self.name}:")), [])
        return len(fields) > 7 and fields[7].isdecimal() and int(fields[7]) <= time.time() // 86400

    def become(self) -> None:
        """For good, in this process: its groups, its number, nothing to be gained by a setuid program, nothing of root's left."""
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise No("PR_SET_NO_NEW_PRIVS is refused")
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        os.umask(0o077)
        if os.getresuid() != (self.uid,) * 3 or os.getresgid() != (self.gid,) * 3:
            raise No("the account could not be taken on")

    def doing(self, work: Callable[[], object]) -> int:
        """Has a child do this as the account; its exit code. What it says goes to stderr."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.become()
                work()
                code = 0
            except BaseException as error:
                print(f"farcell-broker-helper: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


# -- processes


class Group:
    """A control group of a lease's own (cgroup v2), which its processes cannot leave; `path` is None where there is none."""

    def __init__(self, account: Account, lease: str) -> None:
        self.path: str | None = None
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            for fields in (line.split() for line in file):
                if fields[fields.index("-") + 1] == "cgroup2":
                    self.path = os.path.join(fields[4], "farcell-broker", f"{account.uid}-{lease}")

    def make(self) -> None:
        if self.path is None:
            return
        try:
            os.makedirs(self.path, mode=0o755, exist_ok=True)
        except OSError:  # a container whose control groups are read-only
            self.path = None

    def enter(self) -> None:
        """This process and all that it starts."""
        if self.path is not None:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

    def pids(self) -> set[int]:
        if self.path is None:
            return set()
        try:
            with open(os.path.join(self.path, "cgroup.procs"), encoding="ascii") as file:
                return {int(line) for line in file}
        except OSError:
            return set()

    def kill(self) -> None:
        if self.path is None:
            return
        with contextlib.suppress(OSError), open(os.path.join(self.path, "cgroup.kill"), "w", encoding="ascii") as file:
            file.write("1")

    def remove(self) -> None:
        if self.path is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)


def processes(account: Account) -> dict[int, bytes]:
    """All that have the account's number as any of their four, by PID, with their environments; zombies hold nothing."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/status", encoding="utf-8", errors="replace") as file:
                fields = dict(line.partition(":")[::2] for line in file)
            if str(account.uid) not in fields["Uid"].split() or fields["State"].split()[0] in "ZX":
                continue
            with open(f"/proc/{entry}/environ", "rb") as environ:
                found[int(entry)] = environ.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:
            found[int(entry)] = b""
    return found


def of_lease(account: Account, lease: str) -> set[int]:
    """In a pool all of the account's; of a person's own account those in the lease's control group or with its mark."""
    found = processes(account)
    if account.is_pool:
        return set(found)
    mark = f"{MARK}={lease}".encode()
    return {pid for pid, environ in found.items() if mark in environ.split(b"\0")} | (Group(account, lease).pids() & set(found))


def kill_all(account: Account) -> None:
    """Each of the account's processes by one call, so that none that forks meanwhile escapes (kill(2), pid -1)."""

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)

    account.doing(kill)


def kill_each(account: Account, pids: set[int]) -> None:
    """Only what is the account's still: a number may be another process's by now."""
    for pid in pids:
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
            try:
                if pid in processes(account):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            finally:
                os.close(fd)


def end_lease(account: Account, lease: str) -> None:
    group = Group(account, lease)
    deadline = time.monotonic() + END_S
    while left := of_lease(account, lease):
        if account.is_pool:
            kill_all(account)
        group.kill()
        kill_each(account, left)
        if time.monotonic() > deadline:
            raise No(f"processes of {account.name} do not end: {', '.join(map(str, sorted(left)))}")
        wait_for_one(left)
    group.remove()


def wait_for_one(pids: set[int]) -> None:
    poller = select.poll()
    fds = []
    try:
        for pid in list(pids)[:64]:
            with contextlib.suppress(OSError):
                fds.append(os.pidfd_open(pid))
                poller.register(fds[-1], select.POLLIN)
        if fds:
            poller.poll(200)
    finally:
        for fd in fds:
            os.close(fd)


# -- the verbs


def start(config: Config, name: str, lease: str, session: str) -> int:
    account = Account(name, config)
    data = sys.stdin.buffer.read(OPTIONS_BYTES + 1)
    environment, flags = options(data, account, lease)
    make_runtime(config, account)
    if account.is_pool:
        take(config, account, lease, session)
    group = Group(account, lease)
    group.make()
    folder = os.path.join(account.runtime, session)
    argv = [config.python, "-I", "-m", "farcell_host", "launch", f"--runtime={folder}", *flags]

    def before() -> None:
        group.enter()
        account.become()
        with contextlib.suppress(OSError):
            os.chdir(account.home)

    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd="/",
        preexec_fn=before,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=START_S)
    except subprocess.TimeoutExpired:
        end_lease(account, lease)
        process.communicate()
        raise No(f"the kernel host of {name} did not listen in {START_S:.0f} s") from None
    sys.stdout.buffer.write(said[-ANSWER_BYTES:])
    return process.returncode


def options(data: bytes, account: Account, lease: str) -> tuple[dict[str, str], list[str]]:
    """The host's whole environment, and its flags."""
    if len(data) > OPTIONS_BYTES:
        raise No("the options are too long")
    said = json.loads(data)
    if not isinstance(said, dict) or set(said) - {"env", "flags"}:
        raise No("the options are not what this helper takes: it is of another version than the broker")
    environment = {"PATH": PATH, "LANG": "C.UTF-8"}
    for name, value in said.get("env", {}).items():
        if not VARIABLE.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise No(f"no host can have an environment variable {name!r}")
        environment[name] = value
    environment |= {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, "SHELL": "/bin/sh"}
    environment |= {"FARCELL_RUNTIME_DIR": account.runtime, MARK: lease}
    flags = []
    for name, value in said.get("flags", {}).items():
        if name not in FLAGS or not isinstance(value, str) or not FLAGS[name].fullmatch(value):
            raise No(f"no host takes --{name[:40]} {value!r:.80}")
        flags.append(f"--{name}={value}")
    return environment, flags


def make_runtime(config: Config, account: Account) -> None:
    """A folder of root's that nobody lists, with one of mode 0700 for each account."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(config.runtime, 0o711)
    owned_by_root(config.runtime)
    os.chmod(config.runtime, 0o711)
    with contextlib.suppress(FileExistsError):
        os.mkdir(account.runtime, 0o700)
        os.chown(account.runtime, account.uid, account.gid, follow_symlinks=False)
    found = os.lstat(account.runtime)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
        raise No(f"{account.runtime} is not {account.name}'s own folder of mode 0700")


def taken_file(config: Config, account: Account) -> str:
    return os.path.join(config.runtime, f".{account.name}.lease")


def take(config: Config, account: Account, lease: str, session: str) -> None:
    """An account of a pool is one lease's until it was wiped, whatever the broker believes."""
    file, holder = taken_file(config, account), f"{lease} {session}"
    with contextlib.suppress(FileNotFoundError), open(file, encoding="ascii") as stream:
        if stream.read() != holder:
            raise No(f"{account.name} was not wiped after its last lease")
        return
    if processes(account):
        raise No(f"{account.name} has processes: an account of a pool is used by nothing else. It must be wiped")
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(holder)


def is_over(config: Config, account: Account, lease: str) -> bool:
    """Whether another lease holds an account of the pool: then this one has nothing in it any more, and ends nothing there."""
    with contextlib.suppress(FileNotFoundError), open(taken_file(config, account), encoding="ascii") as stream:
        holder = stream.read().split(" ")[0]
        if account.is_pool and holder != lease:
            print(f"farcell-broker-helper: {account.name} is held by another lease, {holder}: nothing is ended", file=sys.stderr)
            return True
    return False


def attach(config: Config, name: str, session: str) -> int:
    sock = opened(config, name, session)
    threading.Thread(target=copy, args=(0, sock.fileno(), sock), daemon=True).start()
    copy(sock.fileno(), 1)
    return 0


def connect(config: Config, name: str, session: str) -> int:
    sock = opened(config, name, session)
    way = socket.socket(fileno=os.dup(0))
    if way.family != socket.AF_UNIX:
        raise No("stdin is no Unix socket")
    socket.send_fds(way, [b"."], [sock.fileno()])
    return 0


def opened(config: Config, name: str, session: str) -> socket.socket:
    """Connected by the account itself, to a socket on which it listens itself. This process is the account's from here on."""
    account = Account(name, config)
    account.become()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(os.path.join(account.runtime, session, "attach.socket"))
    except OSError as error:
        raise No(f"no kernel host listens in session {session}: {error.strerror}") from None
    _, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid != account.uid:
        raise No(f"user {uid} listens in session {session} of {name}")
    return sock


def copy(reading: int, writing: int, ending: socket.socket | None = None) -> None:
    buffer = memoryview(bytearray(256 << 10))
    try:
        while size := os.readv(reading, [buffer]):
            data = buffer[:size]
            while data:
                data = data[os.write(writing, data) :]
        if ending is not None:
            ending.shutdown(socket.SHUT_RDWR)
    except OSError:  # an end went away
        pass


def list_processes(config: Config, name: str, lease: str, session: str) -> int:
    account = Account(name, config)

    def look() -> None:
        """The host holds a lock for as long as it lives (farcell_host.runtime)."""
        fd = os.open(os.path.join(account.runtime, session, "host.json"), os.O_RDWR | os.O_NOFOLLOW)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            account.become()
            look()
            os.write(writing, b"free")
        except BlockingIOError:
            os.write(writing, b"lives")
        except BaseException:
            os.write(writing, b"none")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as answer:
        lives = answer.read() == b"lives"
    print(json.dumps({"host": lives, "pids": sorted(of_lease(account, lease))}))
    return 0


def send_signal(config: Config, name: str, lease: str, which: str) -> int:
    account = Account(name, config)
    if is_over(config, account, lease):
        return 0
    if which == "KILL":
        end_lease(account, lease)
    elif which == "TERM":
        deadline = time.monotonic() + TERM_S
        mark = f"{MARK}={lease}".encode()
        hosts = {pid for pid, environ in processes(account).items() if mark in environ.split(b"\0") and is_host(pid, account)}

        def tell() -> None:
            for pid in hosts:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

        account.doing(tell)
        while hosts & set(processes(account)) and time.monotonic() < deadline:
            wait_for_one(hosts)
    else:
        raise No("the signal is TERM or KILL")
    return 0


def is_host(pid: int, account: Account) -> bool:
    """A kernel host and not its kernel, by its command line; what lies there ends by KILL all the same."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"\0-m\0farcell_host\0launch\0" in file.read()
    except OSError:
        return False


def wipe(config: Config, name: str, lease: str) -> int:
    account = Account(name, config)
    if not account.is_pool:
        raise No(f"{name} is no account of the pool: nothing of it is ever wiped")
    if is_over(config, account, lease):
        return 0
    check_home(config, account)
    deadline = time.monotonic() + END_S
    while left := set(processes(account)):
        kill_all(account)
        if time.monotonic() > deadline:
            raise No(f"processes of {name} do not end: {', '.join(map(str, sorted(left)))}")
        wait_for_one(left)
    with contextlib.suppress(FileNotFoundError):  # or logind starts its services at the next boot
        os.unlink(f"/var/lib/systemd/linger/{name}")
    folders = [account.home, *([account.runtime] if os.path.lexists(account.runtime) else [])]

    def empty() -> None:
        for folder in folders:
            empty_folder(folder, account.uid)
        for folder in config.temporary:
            empty_folder(folder, account.uid, only_own=True)
        remove_ipc(account.uid)

    if account.doing(empty) != 0:
        raise No(f"{name} could not be wiped: it is lent to nobody until it is")
    left_over = [os.path.join(folder, entry) for folder in folders for entry in os.listdir(folder)]
    left_over += [path for folder in config.temporary for path in own_entries(folder, account.uid)]
    if left_over or processes(account):
        raise No(f"{name} could not be wiped: {left_over[0] if left_over else 'a process'} is left. It is lent to nobody")
    os.chmod(account.home, 0o700, follow_symlinks=True)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(account.runtime)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(taken_file(config, account))
    return 0


def check_home(config: Config, account: Account) -> None:
    """The home is the folder of the account's name in the folder that the configuration names for that, and nothing of it lies
    elsewhere."""
    homes, home = config.homes, account.home
    if homes in NEVER_HOMES or homes.count("/") < 2:
        raise No(f"{CONFIG}: homes must be a folder for the pool alone, such as /srv/farcell-pool, not {homes}")
    if home != os.path.join(homes, account.name) or os.path.realpath(home) != home:
        raise No(f"the home of {account.name} is {home} and not {os.path.join(homes, account.name)}, without symbolic links")
    owned_by_root(homes)
    try:
        owned_by_root(os.path.join(homes, POOL_MARK))
    except FileNotFoundError:
        raise No(f"{homes} has no file {POOL_MARK}: make one, as root, to say that all in it may be wiped") from None
    found = os.lstat(home)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise No(f"{home} is not a folder of {account.name}'s")
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    inside = [point for point in points if point.startswith(f"{home}/")]
    if inside:
        raise No(f"something is mounted on {inside[0]}: nothing was wiped")


def empty_folder(folder: str, uid: int, only_own: bool = False) -> None:
    """As the account, which can remove nothing of others. Folders below are emptied by moving what is in them to the top, so that
    no depth exhausts anything; nothing is followed, and no path has more than one part below an open folder."""
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    except PermissionError:
        if only_own:  # nothing of the account's can be in it
            return
        os.chmod(folder, 0o700)
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not only_own:
            os.fchmod(top, 0o700)
        number = 0
        while names := [name for name in os.listdir(top) if not only_own or is_own(top, name, uid)]:
            for name in names:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                try:
                    os.rmdir(name, dir_fd=top)  # also another's, which is empty
                except OSError:
                    number = flatten(top, name, number)
                    os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def flatten(top: int, name: str, number: int) -> int:
    """Empties one folder of `top`: files go, folders move up under names that nobody has."""
    os.chmod(name, 0o700, dir_fd=top)  # a folder, and nobody is left who could make it a link
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for entry in os.listdir(inner):
            if not stat.S_ISDIR(os.lstat(entry, dir_fd=inner).st_mode):
                os.unlink(entry, dir_fd=inner)
                continue
            os.chmod(entry, 0o700, dir_fd=inner)
            while True:
                number += 1
                fresh = f".farcell-wipe-{os.getpid()}-{number}"
                try:
                    os.lstat(fresh, dir_fd=top)
                except FileNotFoundError:
                    break
            os.rename(entry, fresh, src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    return number


def is_own(top: int, name: str, uid: int) -> bool:
    try:
        return os.lstat(name, dir_fd=top).st_uid == uid
    except FileNotFoundError:
        return False


def own_entries(folder: str, uid: int) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(path).st_uid == uid:
                    yield path


def remove_ipc(uid: int) -> None:
    """System V's shared memory, semaphores and queues, which outlive their processes (svipc(7))."""
    libc = ctypes.CDLL(None)
    removers: dict[str, Callable[[int], int]] = {
        "shm": lambda number: int(libc.shmctl(number, 0, None)),
        "sem": lambda number: int(libc.semctl(number, 0, 0)),
        "msg": lambda number: int(libc.msgctl(number, 0, None)),
    }
    for kind, remove in removers.items():
        with contextlib.suppress(FileNotFoundError), open(f"/proc/sysvipc/{kind}", encoding="ascii") as file:
            header = file.readline().split()
            for fields in (line.split() for line in file):
                if int(fields[header.index("uid")]) == uid:
                    remove(int(fields[1]))


VERBS: dict[str, tuple[Callable[..., int], tuple[re.Pattern[str], ...]]] = {
    "start": (start, (ACCOUNT, LEASE, SESSION)),
    "attach": (attach, (ACCOUNT, SESSION)),
    "connect": (connect, (ACCOUNT, SESSION)),
    "processes": (list_processes, (ACCOUNT, LEASE, SESSION)),
    "signal": (send_signal, (ACCOUNT, LEASE, re.compile("TERM|KILL"))),
    "wipe": (wipe, (ACCOUNT, LEASE)),
}


def main(arguments: list[str]) -> int:
    try:
        verb, patterns = VERBS.get(arguments[0] if arguments else "", (None, ()))
        words = arguments[1:]
        if verb is None or len(words) != len(patterns):
            raise No(f"the arguments are one of: {', '.join(VERBS)}, and what belongs to it")
        if not all(pattern.fullmatch(word) for pattern, word in zip(patterns, words)):  # noqa: B905 - Python 3.9 has no strict
            raise No("an argument is not what belongs there")
        if os.getresuid() != (0, 0, 0):
            raise No("this runs as root, through sudo")
        for name in list(os.environ):
            del os.environ[name]
        os.environ["PATH"] = PATH
        os.chdir("/")
        os.umask(0o077)
        os.closerange(3, 1024)
        return verb(Config(), *words)
    except No as error:
        print(f"farcell-broker-helper: {error}.", file=sys.stderr)
    except Exception as error:
        print(f"farcell-broker-helper: {type(error).__name__}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
