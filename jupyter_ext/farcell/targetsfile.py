"""Writing a person's own targets.toml: one target's table is put in, replaced or taken out, and all else, comments too, stays as
it is. Used by the command line and by the server extension.

What would not be right is not written. Two writers at once are kept apart by a lock beside the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from . import targets as known
from .errors import FarcellError, UsageError
from .targets import Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


class Exists(UsageError):
    """There is a target of that name in the file."""


class Missing(UsageError):
    """There is none."""


def put(name: str, keys: Mapping[str, Any], replace: bool = False, hint: str = "") -> Path:
    """Defines a target in the user's own file, which it returns; raises UsageError, and Exists unless `replace` is said.

    `hint` is how to say it, for the message.
    """
    file = known.user_file()
    with _edited(file) as document:
        import tomlkit

        places: Any = document.setdefault("targets", tomlkit.table(is_super_table=True))
        if isinstance(places, Mapping) and name in places and not replace:
            raise Exists(f"There is a target {name!r} already, in {file}.{hint}")
        places[name] = dict(keys)
    return file


def remove(name: str) -> Path:
    """Takes a target out of the user's own file, which it returns; raises UsageError, and Missing when it is not in there."""
    file = known.user_file()
    with _edited(file) as document:
        places: Any = document.get("targets")
        if not isinstance(places, Mapping) or name not in places:
            raise Missing(f"There is no target {name!r} in {file}.")
        del places[name]  # type: ignore[attr-defined]
    return file


def table(file: Path, name: str) -> tuple[dict[str, Any], str] | None:
    """A target's keys as the file has them, and their text; None where the file cannot be read or has none such."""
    import tomlkit

    try:
        text = file.read_text(encoding="utf-8-sig")
        keys = tomllib.loads(text)["targets"][name]
        return dict(keys), tomlkit.dumps(tomlkit.parse(text)["targets"][name])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def refused(name: str, keys: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the target does not take: key, and why."""
    try:
        Target(**{**keys, "name": name})
    except ValidationError as error:
        return [
            (".".join(str(part) for part in item["loc"] if part != "[key]"), item["msg"].removeprefix("Value error, "))
            for item in error.errors()
        ]
    return []


def where(target: Target) -> str:
    """The machine, in a person's words."""
    place = target.host or "this machine"
    if target.host and target.user:
        place = f"{target.user}@{target.host}"
    return f"{place}, partition {target.partition}" if target.partition else place


@contextlib.contextmanager
def _edited(file: Path) -> Iterator[TOMLDocument]:
    """The file's document, to be changed; written at the end if it is right then."""
    import tomlkit

    with _locked(file):
        before = file.read_text(encoding="utf-8-sig") if file.exists() else ""
        try:
            document = tomlkit.parse(before)
        except tomlkit.exceptions.ParseError:
            known.check(file, before)  # says where, in the words that loading has for it
            raise
        yield document
        after = tomlkit.dumps(document)
        try:
            known.check(file, after)
        except UsageError as error:
            raise UsageError(f"{error}\nNothing was written.") from None
        _write(file, after)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    folder = Path(os.path.realpath(file)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FarcellError(f"{file} could not be written: {error.strerror}. It is as it was.") from error
    try:
        with contextlib.suppress(OSError):  # a network's file system may have no locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write(file: Path, text: str) -> None:
    """All of it or nothing; a file that is linked to stays where it is, with the mode that it has."""
    file = Path(os.path.realpath(file))
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as error:
        raise FarcellError(f"{file} could not be written: {error.strerror}. It is as it was.") from error
    finally:
        partial.unlink(missing_ok=True)
