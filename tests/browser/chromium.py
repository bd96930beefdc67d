"""The browser of this machine, and how it is started without a screen."""

from __future__ import annotations

import shutil

FLAGS = [
    "--no-sandbox",  # Chromium refuses to be root otherwise
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
