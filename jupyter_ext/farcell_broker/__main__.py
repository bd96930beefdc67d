"""`python -m farcell_broker` is `farcell-broker`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
