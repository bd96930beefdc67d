"""Five Unix accounts, two of them a pool's, and the broker's account with its helper: all real, for one test run. What the broker
does is done by a process of its account (`broker_of_people.py`)."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import farcell
import farcell_host
from farcell_broker.install import helper_text, sudoers_text
from lending import lease

from services.needs import SEARCHED
from services.service import HERE, Ended, Service

NOBODY = 65534


class People(Service):
    script: ClassVar[str] = "people.sh"
    last_verb: ClassVar[str] = "purge"

    people = ("ann", "bob", "cid")
    pool = ("p1", "p2")
    broker = "broker"

    def start(self) -> None:
        super().start()
        system = self.folder / "system"
        system.mkdir()
        system.chmod(0o755)
        self.python = open_python(self.folder / "python")
        self.helper.write_text(helper_text(str(self.config)))
        self.helper.chmod(0o755)
        self.configure()
        line = sudoers_text(self.name(self.broker), str(self.helper))
        file = Path("/etc/sudoers.d", self.folder.name)
        file.write_text(line)
        file.chmod(0o440)
        subprocess.run(["visudo", "-cqf", str(file)], check=True, timeout=20, env={"PATH": SEARCHED})

    def variables(self) -> dict[str, str]:
        return {"PEOPLE": " ".join([*self.people, self.broker]), "POOL": " ".join(self.pool)}

    def name(self, who: str) -> str:
        """The account's."""
        return f"{self.folder.name}-{who}"

    def entry(self, who: str) -> pwd.struct_passwd:
        return pwd.getpwnam(self.name(who))

    @property
    def helper(self) -> Path:
        return self.folder / "system" / "farcell-broker-helper"

    @property
    def config(self) -> Path:
        return self.folder / "system" / "helper.conf"

    @property
    def runtime(self) -> Path:
        return self.folder / "r"

    def allow(self, account: str, file: str) -> None:
        """One more account may run the helper; `file` names what is removed with the rest."""
        path = Path("/etc/sudoers.d", f"{self.folder.name}-{file}")
        path.write_text(sudoers_text(account, str(self.helper)))
        path.chmod(0o440)

    def configure(self, **helper: str) -> None:
        """As an administrator would."""
        more = "".join(f"{key} = {value}\n" for key, value in helper.items())
        self.config.write_text(
            f"[helper]\npython = {self.python}\nruntime = {self.runtime}\n{more}"
            f"[account]\naccounts = {' '.join(map(self.name, self.people))}\n"
            f"[pool]\naccounts = {' '.join(map(self.name, self.pool))}\nhomes = {self.folder / 'pool'}\n"
        )
        self.config.chmod(0o644)

    def run(self, who: str, command: Sequence[str], given: str = "", within_s: float = 60) -> Ended:
        """A command under an account, as a login would have it: nothing of this process's environment."""
        entry = self.entry(who)
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            cwd=entry.pw_dir,
            umask=0o077,
            env={"HOME": entry.pw_dir, "USER": entry.pw_name, "PATH": SEARCHED, "LC_ALL": "C.UTF-8"},
        )

    def asked(self, *arguments: str, given: str = "", who: str = "broker") -> Ended:
        """The helper, through sudo."""
        return self.run(who, ["sudo", "-n", "--", str(self.helper), *arguments], given)

    def python_of(self, who: str, code: str) -> Ended:
        return self.run(who, [str(self.python), "-I", "-c", code])


class BrokerOfPeople:
    """The broker's process, under its own account: one JSON line for each thing it is to do."""

    def __init__(self, people: People, **environment: str) -> None:
        entry = people.entry(people.broker)
        self._process = subprocess.Popen(
            [str(people.python), str(HERE / "broker_of_people.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            cwd=entry.pw_dir,
            env={"HOME": entry.pw_dir, "USER": entry.pw_name, "PATH": SEARCHED, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        )
        self.pid = self._process.pid
        self._people = people
        self.started: list[dict[str, Any]] = []

    def __call__(self, what: str, **fields: Any) -> Any:
        """Raises RuntimeError with what the broker's own exception said."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps({"what": what, **fields}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline() or '{"error": "the process has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def start(self, user: str, isolation: str = "account", account: str | None = None, fence: int = 1) -> dict[str, Any]:
        """A lease's host; users are called as their accounts without the prefix."""
        target = {
            "name": "shared",
            "gpus": 2,
            "isolation": isolation,
            "helper": str(self._people.helper),
            "account_name": self._people.name("{user}"),
            "accounts": [self._people.name(each) for each in self._people.pool] if isolation == "pool" else [],
        }
        held = None if account is None else self._people.name(account)
        host = self("start", user=user, fence=fence, id=lease(user).id, account=held, target=target)
        assert isinstance(host, dict)
        self.started.append(host)
        return host

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def open_python(folder: Path) -> Path:
    """A Python that everybody may run, in a new environment that looks into this one's packages."""
    base = next((each for each in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3") if _is_open(each)), None)
    assert base is not None, "no Python of this version that other users may run: install python3"
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    sources = [sysconfig.get_paths()["purelib"], *(str(Path(str(each.__file__)).parents[1]) for each in (farcell, farcell_host))]
    lines = []
    for number, source in enumerate(dict.fromkeys(sources)):
        if not others_may_read(Path(source)):
            copy = folder / "copied" / str(number)
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.js", "*.map", "driver", "__pycache__"))
            source = str(copy)
        lines.append(source)
    (site / "tests.pth").write_text("\n".join(lines))
    subprocess.run(["chmod", "-R", "go+rX", str(folder)], check=True, timeout=120)
    return folder / "bin" / "python"


def missing_python() -> str | None:
    """Why no such Python can be had."""
    bases = (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3")
    return (
        None if any(map(_is_open, bases)) else "no Python of this version that other users may run: apt-get install python3-venv"
    )


def others_may_read(path: Path) -> bool:
    path = path.resolve()
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (path, *path.parents))


def _is_open(python: str) -> bool:
    """Run by nobody, of this version, with the venv module."""
    code = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            capture_output=True,
            text=True,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            timeout=60,
            env={},
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.split() == [*map(str, sys.version_info[:2])] and os.access(python, os.X_OK)
