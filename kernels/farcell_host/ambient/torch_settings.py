"""torch: the CPU generator's state, the default type, whether gradients are recorded, deterministic algorithms."""

from __future__ import annotations

import sys
from typing import Any

from .provider import Provider


class TorchSettings(Provider):
    name = "torch"
    module = "torch"

    @property
    def is_here(self) -> bool:
        return hasattr(sys.modules.get(self.module), "get_default_dtype") and hasattr(sys.modules[self.module], "random")

    def stamp(self) -> Any:
        torch = sys.modules["torch"]
        return torch.random.default_generator.get_state().numpy().tobytes(), self._settings()

    def take(self) -> Any:
        return self.stamp()

    def take_since(self, stamp: Any) -> Any:
        """Without the generator's 5 kB when it was not used."""
        state, settings = self.stamp()
        return (state if state != stamp[0] else None), settings

    def put(self, content: Any) -> None:
        torch = sys.modules["torch"]
        state, settings = content
        if state is not None:
            torch.random.default_generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        dtype, has_gradients, is_deterministic = settings
        if dtype != _name(torch.get_default_dtype()):
            torch.set_default_dtype(getattr(torch, dtype))
        if has_gradients != torch.is_grad_enabled():
            torch.set_grad_enabled(has_gradients)
        if is_deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(is_deterministic)

    def _settings(self) -> tuple[str, bool, bool]:
        torch = sys.modules["torch"]
        return _name(torch.get_default_dtype()), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
