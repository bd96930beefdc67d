"""`python -m farcell_host launch | attach | status | stop | zipapp`: what a backend runs beside the remote kernel."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:2] == ["attach", "--runtime"] and len(arguments) == 3:  # at every reconnect: nothing else is imported
        from farcell_host.attach import attach

        return attach(arguments[2])
    from farcell_host.commands import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
