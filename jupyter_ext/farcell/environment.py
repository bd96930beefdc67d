"""Packages here and on a target: whose versions differ, among those that the notebook has imported.

Only distributions that a package manager has put where libraries are: modules of the notebook's own travel themselves. The local
part of a version (`2.1.0+cpu`) says how it was built for a machine, and does not count.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

from farcell_host.state.modules import local_module

from .backends.base import LaunchOptions
from .errors import Refused, UsageError
from .relay.notebook import Notebook

_KERNELS = frozenset({"IPython", "ipykernel", "farcell", "farcell_host"})
"""Packages that a target chooses for itself: another version of them is what lets it run."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Difference:
    """A distribution whose versions differ; `there` is None where it is not installed."""

    name: str
    here: str
    there: str | None
    requirement: str | None
    """What an installer is told; None when it came from a folder of this machine."""

    @property
    def as_text(self) -> str:
        return f"{self.name} {self.there or 'not installed'} (here {self.here})"


@dataclass(frozen=True)
class Comparison:
    """This notebook's packages against a target's."""

    python: str
    prefix: str
    is_own: bool
    """The target's packages are this notebook's own."""
    compared: int
    differences: tuple[Difference, ...]


def compare(options: LaunchOptions, there: Mapping[str, Any]) -> Comparison:
    """`there` is what farcell_host's `environment.describe` answered."""
    versions: Mapping[str, str | None] = there["versions"]
    differences = []
    for name in sorted(versions, key=str.lower):
        here = metadata.version(name)
        if _public(here) != _public(versions[name]):
            differences.append(Difference(name, here, versions[name], requirement(name)))
    is_own = is_own_by(options) or (options.backend.startswith("local") and there["prefix"] == sys.prefix)
    return Comparison(there["python"], there["prefix"], is_own, len(versions), tuple(differences))


def is_own_by(options: LaunchOptions) -> bool:
    """Whether the target is known to run this very Python, before it is asked."""
    return options.backend.startswith("local") and options.python in (None, sys.executable)


def _public(version: str | None) -> str | None:
    return None if version is None else version.partition("+")[0]


def requirement(name: str) -> str | None:
    """What makes an installer install the version that is here."""
    found = metadata.distribution(name)
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if not url:
        return f"{name}=={_public(found.version)}"
    if url.startswith("file:"):
        return None
    vcs = origin.get("vcs_info")
    return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{name} @ {url}"


def requirements(found: Comparison, target: str) -> list[str]:
    """What an installer is told; raises Refused when there is nowhere to install, or something that no index has."""
    if found.is_own:
        raise Refused(f"{target!r} runs in this notebook's own environment ({found.prefix}): there is nothing to bring in line.")
    return installable({each.name: each.requirement for each in found.differences}, target)


def installable(wanted: Mapping[str, str | None], target: str) -> list[str]:
    """What an installer is told, of requirements by name; raises Refused for what no index has."""
    folders = [name for name, requirement in wanted.items() if requirement is None]
    if folders:
        raise Refused(
            f"{', '.join(folders)}: installed here from a folder of this machine, so no installer on {target!r} finds it. "
            "Nothing was installed. Name the other packages in the command, and bring this one there by hand."
        )
    return [requirement for requirement in wanted.values() if requirement is not None]


def confirm(notebook: Notebook, target: str, wanted: Sequence[str], yes: bool, command: str = "sync") -> None:
    """Raises Refused unless the person agrees; `command` is that of `%remote env` which does it unasked."""
    answer = yes or notebook.confirm(f"Install {', '.join(wanted)} on {target!r}?")
    if answer is None:
        raise Refused(
            f"Nobody can be asked whether to install. Nothing was installed. %remote env {command} --yes does it unasked."
        )
    if not answer:
        raise Refused(f"Nothing was installed on {target!r}.")


def installed(names: Iterable[str]) -> list[str]:
    """The distributions that have these names here; raises UsageError for one that is not installed."""
    found = []
    for name in names:
        try:
            found.append(metadata.distribution(name).metadata["Name"])
        except (metadata.PackageNotFoundError, ValueError):
            raise UsageError(f"{name!r} is not installed here, so there is no version of it to install.") from None
    return found


def roots_of(modules: Iterable[str]) -> frozenset[str]:
    """The packages that these modules are in, but for those of the standard library, of the kernel and the notebook's own."""
    found = {name.partition(".")[0] for name in modules}
    others = found - sys.stdlib_module_names - _KERNELS
    return frozenset(root for root in others if local_module(root) is None)


def distributions(roots: Iterable[str]) -> list[str]:
    """The distributions that have these packages here; of several that share a package, those whose modules are loaded."""
    known = _by_root(_state_of_path())
    found: dict[str, None] = {}
    for root in roots:
        owners = sorted({name for name in known.get(root, ()) if name})  # None: its metadata is broken
        found.update(dict.fromkeys(owners if len(owners) < 2 else _owners_of_loaded(root, owners)))
    return list(found)


def imported(namespace: Mapping[str, Any]) -> list[str]:
    """The distributions that the notebook has imported, without those that farcell and the kernel have for themselves."""
    named = roots_of(value.__name__ for value in list(namespace.values()) if isinstance(value, ModuleType))
    loaded = roots_of(name for name in list(sys.modules) if not name.startswith("_"))
    own = _needed_by(("farcell", "ipykernel"))
    return sorted({*distributions(named), *(name for name in distributions(loaded) if _normal(name) not in own)})


def _state_of_path() -> tuple[tuple[str, int], ...]:
    """Installing something changes the folder that it goes into."""
    return tuple((path, os.stat(path).st_mtime_ns) for path in sys.path if os.path.isdir(path))


@functools.lru_cache(1)
def _by_root(state: tuple[tuple[str, int], ...]) -> Mapping[str, Sequence[str]]:
    """Reads the metadata of all that is installed: a tenth of a second and more."""
    return metadata.packages_distributions()


def _owners_of_loaded(root: str, owners: Sequence[str]) -> list[str]:
    modules = [module for name, module in sys.modules.copy().items() if name == root or name.startswith(f"{root}.")]
    files = {os.path.realpath(file) for module in modules if isinstance(file := getattr(module, "__file__", None), str)}
    return [name for name in owners if not files.isdisjoint(_files_of(name))]


def _files_of(name: str) -> set[str]:
    found = metadata.distribution(name)
    return {os.path.realpath(str(found.locate_file(file))) for file in found.files or () if file.suffix in (".py", ".so")}


def _needed_by(names: Iterable[str]) -> frozenset[str]:
    """Normal names of these distributions and all that they need."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        name = _normal(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue
        waiting += [match[0] for need in needs if "extra ==" not in need and (match := _NAME.match(need))]
    return frozenset(found)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
