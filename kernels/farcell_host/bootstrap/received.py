"""Wheels that come over stdin: a JSON line that says which, and then their bytes one after the other.

    {"meets": null or {"family", "requirements"}, "wheels": [{"name", "size", "digest", "sent": bool}, ...]}

If they meet requirements, environments for Pythons of that family are made from them from then on.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import FarcellHostError
from . import faults
from .store import Store

_PIECE = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")


def digest() -> Any:
    return hashlib.blake2b(digest_size=20)


def receive(store: Store, source: BinaryIO) -> list[str]:
    """Puts them into the store, each complete or absent, and gives their names. Raises FarcellHostError, NoEnvironment."""
    told = json.loads(source.readline())
    names = [str(wheel["name"]) for wheel in told["wheels"]]
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong:
        raise FarcellHostError(f"These are no names of wheels: {wrong}")
    try:
        store.wheels.mkdir(parents=True, exist_ok=True)
        for wheel in told["wheels"]:
            if wheel["sent"]:
                _put(store.wheels / wheel["name"], source, wheel["size"], wheel["digest"])
        if told["meets"] is not None:
            store.keep_shipped(told["meets"]["family"], told["meets"]["requirements"], names)
    except OSError as error:
        if error.errno in faults.FULL:
            raise faults.no_room(store.cache, f"{error.strerror}") from error
        raise FarcellHostError(f"The wheels could not be written below {store.cache}: {error}.") from error
    return names


def _put(file: Path, source: BinaryIO, size: int, wanted: str) -> None:
    partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")  # another notebook may send it too
    found, left = digest(), size
    try:
        with open(partial, "wb") as target:
            while left:
                data = source.read(min(left, _PIECE))
                if not data:
                    raise FarcellHostError(f"{file.name} was cut off: {left} of {size} bytes did not come. Send it again.")
                target.write(data)
                found.update(data)
                left -= len(data)
        if found.hexdigest() != wanted:
            raise FarcellHostError(f"{file.name} came with other bytes than it was sent with. Send it again.")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
