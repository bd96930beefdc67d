"""What the modules of installed packages hold beside definitions: counters, registries, caches. Runs inside a kernel.

It stays where it is, by design (docs/limits.md, "Modules of the notebook's own"): cells that change it belong together, and
which these are is found by asking after each.
"""

from __future__ import annotations

import sys
import sysconfig
import types
from typing import Any

_MOST_STEPS = 20_000
_OF_KERNEL = frozenset(
    {
        "IPython", "comm", "debugpy", "farcell", "farcell_host", "ipykernel", "jedi", "jupyter_client", "jupyter_core",
        "matplotlib_inline", "parso", "prompt_toolkit", "psutil", "pygments", "pydantic", "tornado", "tqdm", "traitlets",
        "transparency", "zmq",
    }
)  # fmt: skip
_BY_VALUE = frozenset({type(None), bool, int, float, complex, str, bytes})
_DEFINED = frozenset({types.FunctionType, types.BuiltinFunctionType, property, staticmethod, classmethod})
_PACKAGES = sysconfig.get_path("purelib")


_before: dict[str, int] = {}


def have_changed() -> bool:
    """Whether a module that was imported when this was last asked holds anything else now."""
    global _before
    before, _before = _before, _digests()
    return any(_before.get(name) != digest for name, digest in before.items())


def _digests() -> dict[str, int]:
    """{module: digest} of what was imported from installed packages; a digest says something in this process only."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and file.startswith(_PACKAGES) and name.partition(".")[0] not in _OF_KERNEL:
            found[name] = hash(tuple(_said(module)))
    return found


def _said(module: types.ModuleType) -> list[Any]:
    """Identities and values of what the module reaches, other modules and their classes left out."""
    said: list[Any] = []
    waiting: list[Any] = [vars(module)]
    met: set[int] = set()
    while waiting and len(said) < _MOST_STEPS:
        obj = waiting.pop()
        kind = type(obj)
        if kind in _BY_VALUE:
            said.append(obj if obj == obj else None)
            continue
        if kind is types.ModuleType:  # one that was imported meanwhile is no change
            continue
        said.append(id(obj))
        if kind in _DEFINED or id(obj) in met:
            continue
        met.add(id(obj))
        if issubclass(kind, dict):
            waiting.extend(each for pair in dict.items(obj) if type(pair[1]) is not types.ModuleType for each in pair)
        elif issubclass(kind, (list, tuple, set, frozenset)):
            waiting.extend(obj)  # += would be left to an operator of the library's own class (FrozenList of pandas)
        elif isinstance(obj, type):
            if obj.__module__ == module.__name__:
                waiting.extend(vars(obj).values())
        elif kind.__module__ == "itertools":
            said.append(repr(obj))  # a count says how far it is
        elif type(getattr(obj, "__dict__", None)) is dict:
            waiting.append(vars(obj))
    return said
