"""The state of numpy's old, global generator; Generators are values and travel as such."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from .provider import Provider

_MT19937_BYTES = 624 * 4 + 4  # uint32_t key[624]; int pos


class NumpyRandom(Provider):
    name = "numpy.random"
    module = "numpy.random"

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "set_state")  # not while it is being imported

    def __init__(self) -> None:
        self._seen: Any = None
        self._stamp: Any = None

    def stamp(self) -> Any:
        """Looks at the generator's memory, since numpy's own look costs 35 us.

        Half of the normal deviates come out of a store beside it (`has_gauss`), so numpy is asked when that is full.
        """
        memory = _memory(sys.modules[self.module])
        if memory is None or memory != self._seen or self._stamp[0]:
            state = self.take()
            self._seen, self._stamp = memory, (state["has_gauss"], state)
        return self._stamp

    def take(self) -> Any:
        """Without numpy's own types: the target is not to import numpy for their sake."""
        state = sys.modules[self.module].get_state(legacy=False)
        return {**state, "state": {name: _plain(value) for name, value in state["state"].items()}}

    def put(self, content: Any) -> None:
        np: Any = sys.modules["numpy"]
        state = {name: np.frombuffer(value, np.uint32) if name == "key" else value for name, value in content["state"].items()}
        sys.modules[self.module].set_state({**content, "state": state})


def _plain(value: Any) -> Any:
    return value.tobytes() if hasattr(value, "tobytes") else value


def _memory(module: Any) -> bytes | None:
    generator: Any = getattr(getattr(module.mtrand, "_rand", None), "_bit_generator", None)
    if type(generator) is not module.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, _MT19937_BYTES)
