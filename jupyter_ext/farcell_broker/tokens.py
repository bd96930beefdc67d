"""Tokens of a broker without a hub: a 0600 file with their digests. Who has read the file can ask for nothing with it.

A token is `fcb_ID_SECRET`, 32 random bytes: with so much there is nothing to guess, so that one plain hash is enough and asking
is quick.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from farcell.ledger.lock import file_lock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .auth import ADMIN, USE
from .errors import BrokerError
from .lease import Who

_TOKEN = re.compile(r"fcb_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
LOCK_S = 10.0
DAY_S = 86400.0


class TokensError(BrokerError):
    """The file of tokens cannot be used."""

    code = "tokens"


class Token(BaseModel):
    """What is kept of one; times are UTC epoch seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    user: Annotated[str, Field(min_length=1, max_length=255)]
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = (USE,)
    sha256: str
    made_at: float
    expires_at: float

    def who(self) -> Who:
        return Who(self.user, frozenset(self.groups), ADMIN in self.scopes)


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokens: list[Token] = []


class TokenFile:
    """Read again when it has changed. A gate."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path, self._now = path, now
        self._read: tuple[object, dict[str, Token]] | None = None

    async def identify(self, token: str) -> Who | None:
        found = _TOKEN.fullmatch(token)
        kept = self.tokens().get(found[1]) if found is not None else None
        digest = hashlib.sha256(token.encode()).hexdigest()
        if not secrets.compare_digest(digest, kept.sha256 if kept is not None else "0" * 64) or kept is None:
            return None
        return kept.who() if self._now() < kept.expires_at else None

    async def groups_of(self, user: str) -> frozenset[str] | None:
        """Those of all the user's tokens that hold; none when there is none."""
        holding = [token for token in self.tokens().values() if token.user == user and self._now() < token.expires_at]
        return frozenset(group for token in holding for group in token.groups)

    async def has_user(self, name: str) -> bool | None:
        """Somebody may be given a token yet."""
        return None

    def tokens(self) -> dict[str, Token]:
        """By id; raises TokensError."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise TokensError(f"{self.path} cannot be read: {error}.") from None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, self._load(status))
        return self._read[1]

    def _load(self, status: os.stat_result) -> dict[str, Token]:
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
            raise TokensError(f"{self.path} must be the broker's own and nobody else's to read: chmod 600 {self.path}")
        try:
            kept = _Kept.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError) as error:
            raise TokensError(f"{self.path} is not right: {error}") from None
        return {token.id: token for token in kept.tokens}

    def add(self, user: str, groups: tuple[str, ...] = (), is_admin: bool = False, days: float = 30.0) -> str:
        """A new token, which is told once and kept nowhere."""
        id, now = secrets.token_hex(6), self._now()
        token = f"fcb_{id}_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        scopes = (USE, ADMIN) if is_admin else (USE,)
        until = now + days * DAY_S
        try:
            new = Token(id=id, user=user, groups=groups, scopes=scopes, sha256=digest, made_at=now, expires_at=until)
        except ValidationError as error:
            raise TokensError(f"The token is not right: {error}") from None
        with self._changing() as tokens:
            tokens[id] = new
        return token

    def revoke(self, id: str) -> bool:
        """Whether there was one."""
        with self._changing() as tokens:
            return tokens.pop(id, None) is not None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with file_lock(self.path.with_name(self.path.name + ".lock"), LOCK_S):
                tokens = dict(self.tokens())
                yield tokens
                fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                    json.dump({"tokens": [token.model_dump() for token in tokens.values()]}, stream, indent=1)
                os.replace(fresh, self.path)
        except (OSError, TimeoutError) as error:
            raise TokensError(f"{self.path} cannot be written: {error}.") from None
