"""`api/shares`: outputs that users show each other, and values of a session that others may read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from farcell.errors import TargetUnavailable
from tornado.web import HTTPError, stream_request_body

from .broker import Broker
from .errors import NoSuchLease, Refused
from .handlers import ApiHandler
from .limits import Limits
from .schemas import ShareRequest, ValuesRequest
from .shares import MOST_BYTES, Share, Shares

BODY_BYTES = MOST_BYTES + (1 << 20)
"""Outputs are measured once they are cleaned, which may leave less of them."""


AT_ONCE = 10
"""Questions to the hub."""
MOST_READ_BYTES = 8 << 20
"""Of values, at once."""
VALUES_S = 70.0


class _Sharing(ApiHandler):
    @property
    def shares(self) -> Shares:
        return Shares(self.broker.leases.database, time.time)


@stream_request_body
class SharesHandler(_Sharing):
    """Of all paths the only one with a large body, which is therefore read only once its sender is known."""

    def initialize(self, broker: Broker, limits: Limits) -> None:
        super().initialize(broker, limits)
        self._parts: list[bytes] = []
        self._size = 0

    async def prepare(self) -> None:
        assert self.request.connection is not None
        self.request.connection.set_max_body_size(BODY_BYTES)  # type: ignore[attr-defined]
        await super().prepare()

    def data_received(self, chunk: bytes) -> None:
        """Called by tornado for each piece of the body."""
        self._size += len(chunk)
        if self._size > BODY_BYTES:
            raise HTTPError(413, f"The outputs of a run that are shared may have {MOST_BYTES >> 10} KiB.")
        self._parts.append(chunk)

    async def get(self) -> None:
        found = await self.broker.call(self.shares.of, self.who)
        self.answer({"shares": [_told(share) for share in found]})

    async def post(self) -> None:
        self.request.body = b"".join(self._parts)
        asked = self.body(ShareRequest)
        await self._check(asked.readers)

        def open() -> Share:
            if asked.lease is not None:
                lease = self.broker.leases.get(asked.lease)
                if lease.user != self.who.name:
                    raise NoSuchLease(f"There is no lease {asked.lease!r} of yours.")
                return self.shares.open_session(self.who, asked.readers, lease, lasts_s=asked.lasts_s)
            assert asked.run is not None and asked.outputs is not None
            return self.shares.open(
                self.who,
                asked.readers,
                asked.run,
                asked.outputs,
                target=asked.target,
                lasts_s=asked.lasts_s,
            )

        self.answer(_told(await self.broker.call(open)), 201)

    async def _check(self, readers: Sequence[str]) -> None:
        """A name that is nobody's now may be somebody's later, whom nobody has meant."""
        gate, turns = self.broker.gate, asyncio.Semaphore(AT_ONCE)

        async def is_nobody(name: str) -> bool:
            async with turns:
                return await gate.has_user(name) is False

        names = list(dict.fromkeys(readers))
        found = await asyncio.gather(*map(is_nobody, names))
        unknown = [repr(name) for name, nobody in zip(names, found, strict=True) if nobody]
        if unknown:
            raise Refused(f"The hub has no user {' and no user '.join(unknown)}: nothing is shared.")


class OneShare(_Sharing):
    async def get(self, id: str) -> None:
        share = await self.broker.call(self.shares.read, self.who, id)
        self.answer({**_told(share), "outputs": share.outputs})

    async def delete(self, id: str) -> None:
        await self.broker.call(self.shares.end, self.who, id)
        self.answer({"ended": id})


class Values(_Sharing):
    """What comes is the session's word, as its user has it: whoever reads it takes it as data alone."""

    async def post(self, id: str) -> None:
        asked = self.body(ValuesRequest)
        share = await self.broker.call(self.shares.read, self.who, id)
        if share.lease_id is None:
            raise Refused(f"Share {id} is of a run: its outputs are all there is to it.")
        lease = await self.broker.call(self.broker.leases.get, share.lease_id)
        if lease.host is None:
            raise Refused("The session is not there any more.")
        async with self.broker.reading:
            try:
                told = await self.broker.hosts.ask(lease.host, "values", VALUES_S, names=asked.names, most_bytes=MOST_READ_BYTES)
            except (TargetUnavailable, OSError) as error:
                raise Refused(f"The session cannot be read now: {error}") from error
        self.answer({"vars": told.get("vars"), "values": told.get("values")})


def _told(share: Share) -> dict[str, Any]:
    """A lease's id is its owner's affair."""
    told = {key: value for key, value in asdict(share).items() if key not in ("outputs", "lease_id", "fence")}
    return {**told, "is_session": share.lease_id is not None}
