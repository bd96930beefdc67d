"""Modules that the notebook has made by hand (`types.ModuleType`): there is no file, so all of them travels."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_INTERPRETERS = frozenset({"__builtins__", "__loader__", "__spec__"})


def is_handmade(module: ModuleType) -> bool:
    """Whether no import has made it."""
    own = vars(module)
    return own.get("__spec__") is None and own.get("__file__") is None and own.get("__name__") not in ("__main__", "builtins")


def make_handmade(name: str) -> ModuleType:
    return ModuleType(name)


def handmade_state(module: ModuleType) -> tuple[dict[str, Any], bool]:
    """(its names, whether `import` finds it)."""
    names = {name: value for name, value in vars(module).items() if name not in _INTERPRETERS}
    return names, sys.modules.get(module.__name__) is module


def set_handmade_state(module: ModuleType, state: tuple[dict[str, Any], bool]) -> None:
    names, is_found = state
    own = vars(module)
    for name in [name for name in own if name not in names and name not in _INTERPRETERS]:
        del own[name]
    own.update(names)
    if is_found:
        sys.modules[module.__name__] = module
    elif sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]
