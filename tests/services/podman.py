"""podman with a storage of the tests' own, and an image made of what this machine runs Python with: no registry is asked."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement

IMAGE = "localhost/farcell-test:1"
TIMEOUT_S = 300
KERNELS = Path(__file__).parents[2] / "kernels"
PROGRAMS = ("sh", "sleep", "cat")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_UNNEEDED = shutil.ignore_patterns("__pycache__", "test", "tests", "idlelib", "site-packages", "dist-packages", "config-*")


class Podman:
    """A context manager. `environment`: what a program needs that is to find the image and its containers."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fcp-", dir="/tmp"))
        self.environment: Mapping[str, str] = self._write_configuration()
        try:
            self._make_image()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Podman:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **self.environment}
        done = subprocess.run(["podman", *arguments], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(arguments)} ended with code {done.returncode}: {done.stderr.strip()}")
        return done

    def containers(self) -> list[str]:
        """Names of all, running or not."""
        return [name for each in json.loads(self.run("ps", "--all", "--format", "json").stdout) for name in each["Names"]]

    def close(self) -> None:
        self.run("rm", "--all", "--force", "--time", "0", check=False)
        self.run("system", "reset", "--force", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_configuration(self) -> dict[str, str]:
        """A machine in a machine may raise no limits, and crun wants its control groups another way than runc."""
        engine = ['runtime = "runc"'] if shutil.which("runc") else []
        (self.folder / "containers.conf").write_text(
            "\n".join([
                "[containers]",
                'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]',
                "[engine]",
                'cgroup_manager = "cgroupfs"',
                'events_logger = "file"',
                *engine,
            ])
        )  # fmt: skip
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/storage"\nrunroot = "{self.folder}/run"\n'
        )
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def _make_image(self) -> None:
        root = self.folder / "root"
        _fill(root)
        archive = self.folder / "root.tar"
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True, timeout=TIMEOUT_S)
        shutil.rmtree(root)
        self.run("import", str(archive), IMAGE)
        archive.unlink()


def _fill(root: Path) -> None:
    """A Python as this one, with farcell_host and ipykernel, a shell, and what they are linked to."""
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    base = {"installed_base": sys.base_prefix, "base": sys.base_prefix, "platbase": sys.base_prefix}
    library = Path(sysconfig.get_path("stdlib", vars=base))
    shutil.copytree(library, _in(root, library), symlinks=True, ignore=_UNNEEDED)
    packages = subprocess.run(
        [interpreter, "-I", "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    _copy_packages(_in(root, Path(packages)))
    found = [Path(path) for name in PROGRAMS if (path := shutil.which(name))]
    for program in (*found, interpreter):
        _copy(root, program)
    for name, leads_to in (("python3", interpreter), *((each.name, each) for each in found)):
        for folder in ("usr/bin", "bin"):
            link = root / folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists() and not link.is_symlink():
                link.symlink_to(leads_to)
    for each in _linked([*found, interpreter, *root.rglob("*.so*")]):
        _copy(root, each)
    for folder in ("tmp", "root", "run", "proc", "sys", "dev", "etc"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")


def _in(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _copy(root: Path, path: Path) -> None:
    """Where it lies here; a link becomes the file."""
    there = _in(root, path)
    there.parent.mkdir(parents=True, exist_ok=True)
    if not there.exists():
        shutil.copy2(path.resolve(), there)


def _linked(objects: Iterable[Path]) -> set[Path]:
    """The shared libraries of these, and theirs."""
    told = subprocess.run(["ldd", *map(str, objects)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout
    return {Path(path) for path in _LIBRARY.findall(told)}


def _copy_packages(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(KERNELS / "farcell_host", folder / "farcell_host", ignore=_UNNEEDED)
    for distribution in _needed("ipykernel"):
        files = [each for each in distribution.files or () if ".." not in each.parts and "__pycache__" not in each.parts]
        for file in files:
            there = folder / file
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), there)


def _needed(name: str) -> Iterator[importlib.metadata.Distribution]:
    """A distribution and all that it requires here."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        yield distribution
        required = map(Requirement, distribution.requires or ())
        waiting += [each.name for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
