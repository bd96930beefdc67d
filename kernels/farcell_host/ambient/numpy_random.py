"""The state of numpy's old, global generator; Generators are values and travel as such."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from . import memory
from .provider import Provider
from .watch import Watch

_MT19937_BYTES = 624 * 4 + 4  # uint32_t key[624]; int pos


class NumpyRandom(Provider):
    name = "numpy.random"
    module = "numpy.random"
    is_drawn_from = True

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "set_state")  # not while it is being imported

    def watch(self) -> Watch:
        """Looks at the generator's memory, since numpy's own look costs 35 us.

        Half of the normal deviates come out of a store beside it (`has_gauss`), so numpy is asked when that is full.
        """
        module: Any = sys.modules[self.module]
        generator: Any = getattr(getattr(module.mtrand, "_rand", None), "_bit_generator", None)
        if type(generator) is not module.MT19937 or self.take()["has_gauss"]:
            return Watch(self.stamp)
        watch = Watch(partial(getattr, module.mtrand._rand, "_bit_generator"))  # another one by `set_bit_generator`
        watch.memory.append(memory.view(generator.ctypes.state_address, _MT19937_BYTES, generator))
        return watch

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
