"""`warnings.catch_warnings` makes Python forget which warnings it has shown, and so would have the notebook's shown again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Warnings of this category are not shown, in any thread."""
    filters: Any = warnings.filters
    ours = ("ignore", None, category, None, 0)
    filters.insert(0, ours)
    try:
        yield
    finally:
        filters.remove(ours)
