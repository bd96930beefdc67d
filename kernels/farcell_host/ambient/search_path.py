"""What was put into sys.path, before and behind the interpreter's and the environment's own entries, and in what order."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from typing import Any, ClassVar

from .provider import Provider


class SearchPath(Provider):
    name = "sys.path"
    pristine: ClassVar[Any] = {"gone": [], "before": [], "behind": [], "order": []}

    def __init__(self) -> None:
        self._own = {"", *sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
        base = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_prefix})
        self._own |= {*base.values(), *(path for path in sys.path if path.endswith((".zip", "lib-dynload")))}
        self._own.add(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))  # where farcell_host lies, on a target

    def stamp(self) -> Any:
        return sys.path.copy()

    def take(self) -> Any:
        return self.take_since([path for path in sys.path if path in self._own])

    def take_since(self, stamp: Any) -> Any:
        first = next((index for index, path in enumerate(sys.path) if path in stamp), len(sys.path))
        kept = [path for path in sys.path if path in stamp and path not in self._own]
        return {
            "gone": [path for path in stamp if path not in sys.path],
            "before": sys.path[:first],
            "behind": [path for path in sys.path[first:] if path not in stamp],
            "order": kept if kept != [path for path in stamp if path in kept] else [],
        }

    def take_under(self, content: Any) -> Any:
        return {"all": sys.path.copy()}

    def put(self, content: Any) -> None:
        if "all" in content:
            sys.path[:] = content["all"]
            return
        before, behind = ([path for path in content[where] if path not in sys.path] for where in ("before", "behind"))
        order = content["order"]
        kept = [path for path in sys.path if path not in content["gone"]]
        ordered = iter(sorted((path for path in kept if path in order), key=order.index))
        sys.path[:] = [*before, *(next(ordered) if path in order else path for path in kept), *behind]
