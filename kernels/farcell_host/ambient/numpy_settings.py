"""np.seterr and np.set_printoptions (context variables since numpy 2)."""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider


class NumpySettings(Provider):
    name = "numpy settings"
    module = "numpy"

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "seterr")

    def take(self) -> Any:
        np = sys.modules["numpy"]
        return {"errors": np.geterr(), "printing": np.get_printoptions()}

    def put(self, content: Any) -> None:
        np = sys.modules["numpy"]
        np.seterr(**content["errors"])
        known = np.get_printoptions()
        np.set_printoptions(**{key: value for key, value in content["printing"].items() if key in known})
