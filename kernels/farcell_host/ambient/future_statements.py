"""`from __future__ import ...` of one cell counts for all later ones: IPython compiles them with the same flags."""

from __future__ import annotations
import __future__

import sys
from functools import partial
from typing import Any, ClassVar

from .provider import Provider
from .watch import Watch

_FLAGS = {name: getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}


class FutureStatements(Provider):
    name = "future statements"
    module = "IPython.core.interactiveshell"
    pristine: ClassVar[Any] = []

    @property
    def is_here(self) -> bool:
        module = sys.modules.get(self.module)
        return module is not None and bool(module.InteractiveShell.initialized())

    def watch(self) -> Watch:
        return Watch(partial(getattr, _compiler(), "flags"))

    def take(self) -> Any:
        """Names of the features: their bits differ from one Python to another."""
        flags = _compiler().flags
        return [name for name, flag in _FLAGS.items() if flags & flag]

    def put(self, content: Any) -> None:
        compiler = _compiler()
        for name, flag in _FLAGS.items():
            compiler.flags = compiler.flags | flag if name in content else compiler.flags & ~flag


def _compiler() -> Any:
    return sys.modules["IPython.core.interactiveshell"].InteractiveShell._instance.compile
