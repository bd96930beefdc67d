"""`asking_at_once.py URL POLICY USER...`: all ask for a GPU, each on a thread, when told to go; prints whom it granted one."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from farcell_broker.lease import Request, Who
from farcell_broker.leases import Leases
from farcell_broker.policy import read


def main() -> None:
    url, policy_file, *users = sys.argv[1:]
    policy = read(Path(policy_file))
    leases = Leases(url, lambda: policy)
    leases.database.prepare()
    told = threading.Lock()
    granted: list[str] = []

    def ask(user: str) -> None:
        leases.ask(Who(user), Request(f"{user}'s", "pool", 1))
        found = leases.grant()
        with told:
            granted.extend(lease.user for lease in found)

    threads = [threading.Thread(target=ask, args=(user,)) for user in users]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    leases.database.close()
    print(*granted, flush=True)


if __name__ == "__main__":
    main()
