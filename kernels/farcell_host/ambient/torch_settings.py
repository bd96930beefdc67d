"""torch: the CPU generator's state, and the settings of the process that have a getter and a setter."""

from __future__ import annotations

import ctypes
import functools
import sys
from array import array
from functools import partial
from typing import Any

from . import memory
from .provider import Provider
from .watch import Watch

_SETTINGS = {
    # name: (getter, setter) in torch
    "gradients": ("is_grad_enabled", "set_grad_enabled"),
    "deterministic": ("are_deterministic_algorithms_enabled", "use_deterministic_algorithms"),
    "threads": ("get_num_threads", "set_num_threads"),
    "precision of products": ("get_float32_matmul_precision", "set_float32_matmul_precision"),
}
# In the state that torch gives, and in its object in C++: numbers of the Mersenne twister.
_WORDS, _FIRST_WORD = 624, 24
_HEAD, _BEFORE, _BEHIND = 256, 20, 28
_IN_C = {  # what these ask: a call in C costs next to nothing
    "are_deterministic_algorithms_enabled": "_get_deterministic_algorithms",
    "get_float32_matmul_precision": "_get_float32_matmul_precision",
}
_CUDNN = ("_get_cudnn_deterministic", "_get_cudnn_benchmark")  # what torch.backends.cudnn.deterministic and .benchmark ask
_PRINTING = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")


class TorchSettings(Provider):
    name = "torch"
    module = "torch"

    @property
    def is_here(self) -> bool:
        torch = sys.modules.get(self.module)
        return hasattr(torch, "get_default_dtype") and hasattr(torch, "random") and "torch.backends.cudnn" in sys.modules

    def watch(self) -> Watch:
        torch: Any = sys.modules["torch"]
        asked = (name for name, _ in _SETTINGS.values() if hasattr(torch, name))
        getters = [torch.get_default_dtype, *(getattr(torch._C, _IN_C.get(name, ""), getattr(torch, name)) for name in asked)]
        watch = Watch(*getters, *(getattr(torch._C, name) for name in _CUDNN if hasattr(torch._C, name)))
        options = _printing()
        if options is not None:
            watch.attributes(options)
        generator = _memory(torch.random.default_generator) if _shows_draws() else None
        if generator is None:
            watch.looks.append(_state)
        else:
            watch.memory.append(generator)
        return watch

    def stamp(self) -> Any:
        return _state(), self._settings()

    def take(self) -> Any:
        """How many threads there are is the machine's affair, until it is set."""
        state, settings = self.stamp()
        return state, {name: value for name, value in settings.items() if name != "threads"}

    def take_since(self, stamp: Any) -> Any:
        """Without the generator's 5 kB when it was not used."""
        state, settings = self.stamp()
        changed = {name: value for name, value in settings.items() if stamp[1].get(name) != value}
        return (state if state != stamp[0] else None), changed

    def take_under(self, content: Any) -> Any:
        return self.stamp()

    def put(self, content: Any) -> None:
        torch: Any = sys.modules["torch"]
        state, settings = content
        if state is not None:
            torch.random.default_generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        now = self._settings()
        for name, value in settings.items():
            if name in now and now[name] != value:
                self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        torch: Any = sys.modules["torch"]
        if name == "type":
            torch.set_default_dtype(getattr(torch, value))
        elif name == "cudnn":
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = value
        elif name == "printing":
            for each, part in zip(_PRINTING, value, strict=True):
                setattr(_printing(), each, part)
        else:
            getattr(torch, _SETTINGS[name][1])(value)

    def _settings(self) -> dict[str, Any]:
        torch: Any = sys.modules["torch"]
        found: dict[str, Any] = {"type": str(torch.get_default_dtype()).removeprefix("torch.")}
        found.update({name: getattr(torch, get)() for name, (get, _) in _SETTINGS.items() if hasattr(torch, get)})
        found["cudnn"] = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
        options = _printing()
        if options is not None:
            found["printing"] = tuple(getattr(options, name) for name in _PRINTING)
        return found


def _printing() -> Any:
    return getattr(sys.modules.get("torch._tensor_str"), "PRINT_OPTS", None)


def _state() -> bytes:
    torch: Any = sys.modules["torch"]
    return _state_of(torch.random.default_generator)


def _state_of(generator: Any) -> bytes:
    return bytes(generator.get_state().numpy().tobytes())


def _memory(generator: Any) -> memoryview | None:
    """Where torch's object keeps the words of its state, with what lies around: how many are left, and kept normal deviates."""
    words = array("I", array("Q", _state_of(generator)[_FIRST_WORD : _FIRST_WORD + 8 * _WORDS])).tobytes()
    address = getattr(generator, "_cdata", 0)
    offset = ctypes.string_at(address, _HEAD).find(words[:32]) if address else -1
    if offset < _BEFORE or ctypes.string_at(address + offset, len(words)) != words:
        return None
    return memory.view(address + offset - _BEFORE, _BEFORE + len(words) + _BEHIND, generator)


@functools.cache
def _shows_draws() -> bool:
    """Tried on a generator of our own."""
    torch: Any = sys.modules["torch"]
    generator = torch.Generator()
    found = _memory(generator)
    draws = (partial(torch.rand, 1, generator=generator), *[partial(torch.randn, 1, generator=generator)] * 2)
    return found is not None and memory.shows(found, *draws)
