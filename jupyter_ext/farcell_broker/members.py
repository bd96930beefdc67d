"""Keeps up with the hub: who has an open lease and is in other groups by now, or is no user any more, is told to policy.

Who asks something is looked at then; this is for those who do not ask, because their run goes on without them.
"""

from __future__ import annotations

import asyncio
import logging

from .broker import Broker
from .errors import BrokerError
from .lease import Who

LOOK_S = 30.0

log = logging.getLogger("farcell.broker")


async def keep_up(broker: Broker) -> None:
    """Until it is cancelled."""
    while True:
        try:
            users = {lease.user for lease in await broker.call(broker.leases.all)}
            for user in sorted(users):
                groups = await broker.gate.groups_of(user)
                if groups is not None:
                    await broker.call(broker.leases.seen, Who(user, groups))
        except BrokerError as error:
            log.info("Groups are as they were: %s", error)
        except Exception:
            log.exception("The groups of users could not be looked at")
        await asyncio.sleep(LOOK_S)
