"""farcell: run a notebook cell on another machine as if it had run here.

In a notebook `%load_ext farcell`, then `%%remote` on top of a cell. In a program `farcell.connect("gpu-a").run("...")`. Importing
this package and loading the extension start nothing and import little; what is heavy is imported at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .api import Remote, connect
    from .refs import Ref
    from .totals import usage

__all__ = ["Ref", "Remote", "__version__", "connect", "errors", "load_ipython_extension", "unload_ipython_extension", "usage"]

_HOME = {"connect": "api", "Remote": "api", "Ref": "refs", "usage": "totals"}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module(".errors", __name__)
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext farcell`."""
    from . import magics

    magics.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext farcell`; sessions go on and end with the notebook."""
    from . import magics

    magics.unload(shell)
