"""What is kept in a target's `cache_dir`: environments by what they were made from, and wheels that were sent there.

environments/DIGEST.json     says where the environment is; written by rename when all of it is there
environments/DIGEST-xxxx/    the environment; without a file that names it, what is left of one that was never finished
environments/DIGEST.lock     held by who makes it
environments/DIGEST.log      what the installers said
wheels/NAME.whl              complete or absent
shipped/FAMILY.json          which of them make an environment for Pythons of a family
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import description

_FORMAT = 1
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an environment; the same recipe means the same environment."""

    requirements: tuple[str, ...]
    wheels: tuple[str, ...] | None = None
    """Names of wheels that were sent; None: an index has what is required."""
    sees_system: bool = False
    """The packages of the Python that it is made with are seen in it."""
    family: str = ""
    base: str = ""
    """Where that Python is."""

    @classmethod
    def here(cls, requirements: Sequence[str], wheels: Sequence[str] | None, sees_system: bool) -> Recipe:
        """For the Python that runs this."""
        base = sys.prefix if sees_system else sys.base_prefix
        named = tuple(sorted(wheels)) if wheels is not None else None
        return cls(tuple(sorted(requirements)), named, sees_system, description.family(), base)

    @property
    def digest(self) -> str:
        told = [_FORMAT, self.requirements, self.wheels, self.sees_system, self.family, self.base]
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()


class Store:
    """Below a cache folder, which is made when something is put there."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.environments = cache / "environments"
        self.wheels = cache / "wheels"
        self._shipped = cache / "shipped"

    def environment(self, digest: str) -> str | None:
        """Its Python; None where there is none, or where the Python that it was made with is gone."""
        python = _read(self._entry(digest)).get("python")
        return str(python) if python and os.access(python, os.X_OK) else None

    def touch(self, digest: str) -> None:
        """Something is started with it now."""
        with contextlib.suppress(OSError):
            os.utime(self._entry(digest))

    def used(self, digest: str) -> float:
        """When that was last, in seconds since the epoch."""
        return self._entry(digest).stat().st_mtime

    def forget(self, digest: str) -> None:
        """It is known no more; its folder is there still."""
        self._entry(digest).unlink(missing_ok=True)

    def is_making(self, digest: str) -> bool:
        """Whether somebody makes it now."""
        import fcntl

        try:
            with open(self.environments / f"{digest}.lock", "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def log(self, digest: str) -> Path:
        return self.environments / f"{digest}.log"

    def new_folder(self, digest: str) -> Path:
        return self.environments / f"{digest}-{secrets.token_hex(2)}"

    def keep(self, digest: str, python: Path, recipe: Recipe) -> None:
        """From now on this is the environment."""
        _write(self._entry(digest), {"python": str(python), "requirements": recipe.requirements, "wheels": recipe.wheels})

    @contextlib.contextmanager
    def making(self, digest: str, on_wait: Callable[[], None], wait_s: float) -> Iterator[None]:
        """One at a time makes an environment, and what a killed one has left is removed; `on_wait` is called while another does.

        Raises TimeoutError. Where the file system has no locks, two may make the same one: each its own, and the last one counts.
        """
        import fcntl

        self.environments.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.environments / f"{digest}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _wait_for(fd, on_wait, wait_s)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                yield
                return
            if self.environment(digest) is None:
                for left in self.environments.glob(f"{digest}-*"):
                    shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(fd)

    def shipped(self, requirements: Sequence[str]) -> list[str] | None:
        """Names of wheels that were sent to meet these requirements with this Python; None where none were, or some are gone."""
        found = _read(self._shipped / f"{description.family()}.json")
        names = found.get("wheels") if found.get("requirements") == sorted(requirements) else None
        return names if names and all((self.wheels / name).exists() for name in names) else None

    def shipped_names(self) -> set[str]:
        """Of all wheels that environments are made from, of all families."""
        return {name for file in self._shipped.glob("*.json") for name in _read(file).get("wheels") or ()}

    def keep_shipped(self, family: str, requirements: Sequence[str], names: Sequence[str]) -> None:
        self._shipped.mkdir(parents=True, exist_ok=True)
        _write(self._shipped / f"{family}.json", {"requirements": sorted(requirements), "wheels": [*names]})

    def sizes(self) -> dict[str, int]:
        """Of the wheels that are here."""
        return {wheel.name: wheel.stat().st_size for wheel in self.wheels.glob("*.whl")}

    def _entry(self, digest: str) -> Path:
        return self.environments / f"{digest}.json"


def _wait_for(fd: int, on_wait: Callable[[], None], wait_s: float) -> None:
    import fcntl

    from .running import HEARTBEAT_S

    got = threading.Event()

    def lock() -> None:
        with contextlib.suppress(OSError):  # closed under it: the waiting is over
            fcntl.flock(fd, fcntl.LOCK_EX)
            got.set()

    threading.Thread(target=lock, name="farcell-lock", daemon=True).start()
    deadline = time.monotonic() + wait_s
    while True:
        on_wait()
        left = deadline - time.monotonic()
        if got.wait(max(0.0, min(HEARTBEAT_S, left))):
            return
        if left <= 0:
            raise TimeoutError


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, fields: Mapping[str, Any]) -> None:
    partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        partial.write_text(json.dumps(fields))
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
