"""`farcell`: targets, sessions and runs from a terminal, by the same code as the magics.

Exit codes: 0 all is well, 1 something is wrong (which is said), 2 the command itself is, 130 after Ctrl-C. What is asked for is
on stdout, as a table or with `--json` as one JSON document; all else is on stderr.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

from .arguments import parse

WRONG, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; what it returns is the exit code."""
    options = parse(argv)
    if sys.platform == "win32":
        from ..api import UNSUPPORTED

        print(f"farcell: {UNSUPPORTED}", file=sys.stderr)
        return WRONG
    from farcell_host.errors import FarcellHostError

    from ..errors import FarcellError, UsageError

    module, function = options.command
    try:
        run = getattr(importlib.import_module(f".{module}", __name__), function)
        return cast(int, run(options))
    except UsageError as error:
        return _failed(error, USAGE)
    except (FarcellError, FarcellHostError) as error:
        return _failed(error, WRONG)
    except BrokenPipeError:  # `farcell logs RUN | head`: nobody reads on, and Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WRONG
    except KeyboardInterrupt:
        print("farcell: interrupted", file=sys.stderr)
        return INTERRUPTED


def _failed(error: Any, code: int) -> int:
    print(f"farcell: {error}", file=sys.stderr)
    return code
