"""np.seterr, np.seterrcall and np.set_printoptions (context variables since numpy 2)."""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider
from .watch import Watch


class NumpySettings(Provider):
    name = "numpy settings"
    module = "numpy"

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "seterr")

    def watch(self) -> Watch:
        errors = getattr(sys.modules.get("numpy._core.umath"), "_extobj_contextvar", None)
        printing = getattr(sys.modules.get("numpy._core.printoptions"), "format_options", None)
        if errors is None or printing is None:
            return Watch(self.stamp)  # numpy 1
        return Watch(errors.get, printing.get)

    def take(self) -> Any:
        np = sys.modules["numpy"]
        return {"errors": np.geterr(), "call": np.geterrcall(), "printing": np.get_printoptions()}

    def take_since(self, stamp: Any) -> Any:
        return {name: value for name, value in self.take().items() if stamp[name] != value}

    def put(self, content: Any) -> None:
        np = sys.modules["numpy"]
        if "errors" in content:
            np.seterr(**content["errors"])
        if "call" in content:
            np.seterrcall(content["call"])
        known = np.get_printoptions()
        np.set_printoptions(**{key: value for key, value in content.get("printing", {}).items() if key in known})
