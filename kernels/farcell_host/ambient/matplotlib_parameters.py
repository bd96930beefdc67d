"""rcParams, as far as they differ from matplotlib's own defaults, and a backend that needs no screen."""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import Any

from .provider import Provider
from .watch import Watch

_OWN = frozenset({"backend", "interactive", "toolbar", "savefig.directory"})
_INLINE = frozenset({"inline", "module://matplotlib_inline.backend_inline"})
_WITHOUT_SCREEN = _INLINE | {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


class MatplotlibParameters(Provider):
    name = "matplotlib parameters"
    module = "matplotlib"

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "rcParamsDefault")

    def watch(self) -> Watch:
        mpl: Any = sys.modules[self.module]
        watch = Watch()
        watch.lists([value for value in dict.values(mpl.rcParams) if type(value) is list])
        watch.dict(mpl.rcParams)
        watch.dict(vars(mpl))
        return watch

    def stamp(self) -> Any:
        values = dict.values(sys.modules[self.module].rcParams)
        return [value.copy() if type(value) is list else value for value in values]  # the keys never change

    def is_pristine(self, content: Any) -> bool:
        return not content.keys() - {"backend"} and content.get("backend") in (None, *_INLINE)

    def take(self) -> Any:
        mpl: Any = sys.modules["matplotlib"]
        defaults = mpl.rcParamsDefault
        found = {
            key: value for key, value in dict.items(mpl.rcParams) if key not in _OWN and dict.get(defaults, key, None) != value
        }
        backend = dict.get(mpl.rcParams, "backend")
        if str(backend).lower() in _WITHOUT_SCREEN:  # which also says that one has been chosen
            found["backend"] = backend
        return found

    def take_since(self, stamp: Any) -> Any:
        """With lists that were changed in place, which are those of the defaults, too."""
        pairs = zip(dict.items(sys.modules["matplotlib"].rcParams), stamp, strict=True)
        return {**self.take(), **{key: value for (key, value), before in pairs if type(value) is list and value != before}}

    def put(self, content: Any) -> None:
        mpl: Any = sys.modules["matplotlib"]
        now, content = self.take(), dict(content)
        backend = content.pop("backend", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if backend is not None and backend != now.get("backend"):
                with contextlib.suppress(ImportError):
                    mpl.use(backend)
            for key in now.keys() - content.keys() - {"backend"}:
                mpl.rcParams[key] = dict.__getitem__(mpl.rcParamsDefault, key)
            for key, value in content.items():
                if key in mpl.rcParams:
                    mpl.rcParams[key] = value
