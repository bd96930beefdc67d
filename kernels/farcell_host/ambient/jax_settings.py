"""jax.config; what platforms, devices, caches and hosts there are is each side's own."""

from __future__ import annotations

import enum
import logging
import sys
from typing import Any

from .provider import Provider
from .watch import Watch

log = logging.getLogger("farcell")

_OWN = (
    "address", "backend", "cache", "cert", "collectives", "cuda", "device", "distributed", "dump", "host", "mock", "mtls", "pjrt",
    "platform", "preemption", "profile", "rocm", "topology", "tpu", "xla",
)  # fmt: skip


class JaxSettings(Provider):
    name = "jax settings"
    module = "jax"

    @property
    def is_here(self) -> bool:
        jax = sys.modules.get(self.module)
        return hasattr(jax, "config") and hasattr(jax, "vmap")  # not while it is being imported

    def watch(self) -> Watch:
        return Watch(lambda: dict(_config().values))

    def take(self) -> Any:
        plain = {name: value.value if isinstance(value, enum.Enum) else value for name, value in _config().values.items()}
        return {
            name: value
            for name, value in plain.items()
            if isinstance(value, (bool, int, float, str, type(None))) and not any(part in name for part in _OWN)
        }

    def take_since(self, stamp: Any) -> Any:
        return {name: value for name, value in self.take().items() if name not in stamp or stamp[name] != value}

    def put(self, content: Any) -> None:
        now = self.take()
        for name, value in content.items():
            if name in now and now[name] != value:
                try:
                    _config().update(name, value)
                except Exception:  # another version of jax, which knows other values
                    log.warning("jax.config.%s could not be set as on the other side", name, exc_info=True)


def _config() -> Any:
    return sys.modules["jax"].config
