"""rcParams, as far as they differ from matplotlib's own defaults; the backend is each side's own."""

from __future__ import annotations

import sys
import warnings
from typing import Any, ClassVar

from .provider import Provider

_OWN = frozenset({"backend", "backend_fallback", "interactive", "toolbar", "savefig.directory"})


class MatplotlibParameters(Provider):
    name = "matplotlib parameters"
    module = "matplotlib"
    pristine: ClassVar[Any] = {}

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "rcParamsDefault")

    def stamp(self) -> Any:
        return tuple(dict.values(sys.modules["matplotlib"].rcParams))  # the keys never change

    def take(self) -> Any:
        mpl: Any = sys.modules["matplotlib"]
        defaults = mpl.rcParamsDefault
        return {
            key: value for key, value in dict.items(mpl.rcParams) if key not in _OWN and dict.get(defaults, key, None) != value
        }

    def put(self, content: Any) -> None:
        mpl: Any = sys.modules["matplotlib"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for key in self.take().keys() - content.keys():
                mpl.rcParams[key] = dict.__getitem__(mpl.rcParamsDefault, key)
            for key, value in content.items():
                if key in mpl.rcParams:
                    mpl.rcParams[key] = value
