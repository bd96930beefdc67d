"""How an environment comes into being: a venv, packages put into it, tried, and only then known by its name.

It is made at its own place, since a venv does not work elsewhere, and is found through a file that is written last (`store.py`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import sysconfig
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import faults, needs
from .faults import NoEnvironment
from .progress import Reading, Teller
from .running import LIMIT_S, TooLong, lines_of
from .sources import NOTHING, SENT
from .store import Recipe, Store

if TYPE_CHECKING:
    from .installers import Installer

_TAIL = 12
"""An installer's last lines are shown to the person."""
_TRIAL = "import ipykernel.kernelapp"
_OFFLINE = ("--isolated", "--no-index")
_DEBIAN = "On Debian or Ubuntu: sudo apt-get install python3-venv"


class Maker:
    """Of environments for the Python that runs this. `shown` is what the person calls that Python."""

    def __init__(self, store: Store, teller: Teller, shown: str = sys.executable, listener: int | None = None) -> None:
        """`listener` is a descriptor: when nobody reads it any more, what goes on is ended."""
        self._store = store
        self._teller = teller
        self._shown = shown
        self._listener = listener
        self.has_made = False
        """Whether an environment is new."""

    def ready(self, lacking: str, source: str, sees_system: bool) -> str:
        """The Python of an environment that has what this one is `lacking`, made now where there is none. Raises NoEnvironment.

        `source` is one of SOURCES.
        """
        why = f"{self._shown} has {lacking}"
        if source == NOTHING:
            raise NoEnvironment(faults.NEVER, f"{why}. There: {self._shown} -m pip install --upgrade ipykernel")
        recipe = self._recipe(sees_system)
        found = self._store.environment(recipe.digest)
        if found is not None:
            self._store.touch(recipe.digest)
            return found
        if recipe.wheels is None and source == SENT:
            raise NoEnvironment(faults.NO_WHEELS, f"{why}, and no wheels were sent to make an environment from.")
        try:
            with self._store.making(recipe.digest, self._wait, LIMIT_S):
                return self._store.environment(recipe.digest) or self._make(recipe, why)
        except TimeoutError:
            raise NoEnvironment(
                faults.FAILED, f"{why}, and another session has been making an environment for too long."
            ) from None
        except OSError as error:
            raise self._of(error, f"{why}, and an environment could not be made") from error

    def found(self, sees_system: bool) -> str | None:
        """The Python of an environment that was made before."""
        return self._store.environment(self._recipe(sees_system).digest)

    def _recipe(self, sees_system: bool) -> Recipe:
        return Recipe.here(needs.REQUIREMENTS, self._store.shipped(needs.REQUIREMENTS), sees_system)

    def add(self, python: str, requirements: Sequence[str]) -> None:
        """Installs these from the wheels that were sent, for a Python that `ready` gave. Raises NoEnvironment."""
        pip = self._sent_pip([wheel.name for wheel in self._store.wheels.glob("pip-*.whl")])
        folder = self._store.cache
        options = [*_OFFLINE, "--find-links", str(self._store.wheels)]
        try:
            self._install([pip], python, requirements, options, folder / "install.log", "They could not be installed")
        except OSError as error:
            raise self._of(error, "They could not be installed") from error

    def _of(self, error: OSError, what: str) -> NoEnvironment:
        if error.errno in faults.FULL:
            return faults.no_room(self._store.cache, f"{error.strerror}")
        return NoEnvironment(faults.FAILED, f"{what}: {error}. Set cache_dir of the target to a folder that can be written.")

    def _wait(self) -> None:
        self._teller.doing("waiting for another session, which makes the environment")

    def _make(self, recipe: Recipe, why: str) -> str:
        folder = self._store.new_folder(recipe.digest)
        self._teller.doing("making an environment")
        try:
            python = self._venv(folder, recipe.sees_system, why)
            self._fill(python, recipe, why)
            self._store.keep(recipe.digest, python, recipe)
            self.has_made = True
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return str(python)

    def _venv(self, folder: Path, sees_system: bool, why: str) -> Path:
        try:
            import venv
        except ImportError:
            raise NoEnvironment(faults.NO_VENV, f"{why}, and no venv module to make an environment with. {_DEBIAN}") from None
        venv.EnvBuilder(system_site_packages=sees_system, symlinks=True).create(folder)
        if sees_system and sys.prefix != sys.base_prefix:  # a venv's packages are no system's: venv made from venv sees past them
            paths = sysconfig.get_paths()
            (site,) = folder.glob("lib/python*/site-packages")
            outer = dict.fromkeys((paths["purelib"], paths["platlib"]))
            lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in outer)
            (site / "farcell-outer.pth").write_text(lines)
        return folder / "bin" / "python"

    def _fill(self, python: Path, recipe: Recipe, why: str) -> None:
        """Also tries the result: a kernel that cannot start tells less of why."""
        from . import installers

        log = self._store.log(recipe.digest)
        what = f"{why}, and an environment that has it could not be made"
        log.unlink(missing_ok=True)
        if recipe.wheels is not None:
            files = [str(self._store.wheels / name) for name in recipe.wheels]
            self._install([self._sent_pip(recipe.wheels)], str(python), files, _OFFLINE, log, what)
        else:
            found = installers.found()
            if not found:
                raise NoEnvironment(
                    faults.NO_INSTALLER, f"{why}, and nothing to install it with: no uv, pip or ensurepip. {_DEBIAN}"
                )
            self._install(found, str(python), recipe.requirements, (), log, what)
        said: deque[str] = deque(maxlen=_TAIL)

        def on_line(line: str) -> None:
            if line:
                said.append(line)
            else:
                self._teller.doing("trying the environment")

        on_line("")
        code = lines_of([str(python), "-c", _TRIAL], os.environ, on_line, self._listener)
        if code != 0:
            text = f"{what}: it does not work below {self._store.cache}. It said:\n{_indented(said)}"
            if "failed to map segment" in "".join(said):
                text += "\nThat folder is mounted noexec, it seems: set cache_dir of the target to another one."
            raise NoEnvironment(faults.FAILED, text)

    def _sent_pip(self, wheels: Sequence[str]) -> Installer:
        """The latest of them."""
        from . import installers

        pips = [name for name in wheels if name.startswith("pip-")]
        if not pips:
            raise NoEnvironment(faults.NO_INSTALLER, f"no wheel of pip is among those that were sent to {self._store.wheels}")
        return installers.pip_in(str(self._store.wheels / max(pips, key=installers.version_of)))

    def _install(
        self,
        choices: Sequence[Installer],
        python: str,
        packages: Sequence[str],
        options: Sequence[str],
        log: Path,
        what: str,
    ) -> None:
        """With the first of these installers that does it."""
        site = Path(python).parent.parent
        count = functools.partial(_installed, site) if self._store.environments in site.parents else None
        failed = []
        for installer in choices:
            reading = Reading(f"installing with {installer.name}", count)
            said: deque[str] = deque(maxlen=_TAIL)
            command = installer.command(python, packages, options)
            try:
                code = self._watched(command, reading, said, log)
            except TooLong:
                raise NoEnvironment(faults.FAILED, f"{what}: {installer.name} took longer than {LIMIT_S:.0f} s.") from None
            if code == 0:
                return
            if faults.is_full("\n".join(said)):
                raise faults.no_room(self._store.cache, f"{installer.name} said: {said[-1]}")
            failed.append(f"{installer.name} ended with exit code {code}. It said:\n{_indented(said)}")
        raise NoEnvironment(faults.FAILED, "\n".join([f"{what}.", *failed, f"All of it: {log}"]))

    def _watched(self, command: Sequence[str], reading: Reading, said: deque[str], log: Path) -> int:
        with open(log, "a") as file:
            file.write(f"$ {' '.join(command)}\n")

            def on_line(line: str) -> None:
                if line:
                    with contextlib.suppress(OSError):  # a full disk is the installer's to tell
                        file.write(f"{line}\n")
                        file.flush()
                    said.append(line)
                if reading.see(line) or not line:
                    self._teller.doing(reading.text, reading.done, reading.total)

            return lines_of(command, _environment(), on_line, self._listener)


def _installed(environment: Path) -> int:
    """How many packages are whole in it; an installer writes the list of a package's files last."""
    return sum(1 for _ in environment.glob("lib/python*/site-packages/*.dist-info/RECORD"))


def _environment() -> dict[str, str]:
    """Of an installer: what makes it install elsewhere than it is told is left out."""
    elsewhere = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "UV_TARGET", "UV_PREFIX")
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    return {**kept, "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}


def _indented(lines: Sequence[str] | deque[str]) -> str:
    return "\n".join(f"    {line}" for line in lines if line) or "    (nothing)"
