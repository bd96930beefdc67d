"""`python -m farcell_host launch | attach | status | stop | environment | zipapp`: what a backend runs on the other machine."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:2] == ["attach", "--runtime"] and len(arguments) == 3:  # at every reconnect: nothing else is imported
        from farcell_host.attach import attach

        return attach(arguments[2])
    if arguments[:1] == ["environment"]:
        from farcell_host.bootstrap.command import run as run_environment

        return run_environment(arguments[1:])
    from farcell_host.commands import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
