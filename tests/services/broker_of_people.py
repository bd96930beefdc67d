"""The broker's hosts in a process of the broker's own account: a JSON line in, a JSON line out. See `people.py`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from farcell_broker.hardening import forbid_inspection
from farcell_broker.policy import SharedTarget
from lending import Lender, LentDriver, lease


class Broker:
    def __init__(self) -> None:
        self.lender = Lender()
        self.hosts = self.lender.hosts

    def do(self, what: str, fields: dict[str, Any]) -> Any:
        if what == "start":
            target = SharedTarget(**fields["target"])
            lent = lease(fields["user"], fields["fence"], id=fields["id"], account=fields["account"], target=target.name)
            return self.lender.do(self.hosts.start(lent, target), 120)
        if what == "run":
            return self.lender.run(fields["host"], fields["code"])
        if what == "drive":
            self.driver = LentDriver(self.lender, fields["host"], takeover=True)
            return self.driver.run(fields["code"]).check().text
        if what == "told":
            self.driver.wait(lambda: self.driver.lost)
            self.driver.close()
            return [message.content["text"] for message in self.driver.messages if message.msg_type == "farcell_notice"]
        if what == "ask":
            return self.lender.do(self.hosts.ask(fields["host"], fields["op"]))
        if what == "pid":
            return os.getpid()
        if what in ("status", "end"):
            return self.lender.do(getattr(self.hosts, what)(fields["host"]), 120)
        if what == "save_and_end":
            return self.lender.do(self.hosts.save_and_end(fields["host"], 5.0), 120)
        raise ValueError(what)


def main() -> None:
    forbid_inspection()
    broker = Broker()
    for line in sys.stdin:
        fields = json.loads(line)
        try:
            answer = {"answer": broker.do(fields.pop("what"), fields)}
        except (Exception, asyncio.CancelledError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
