"""Makes classes without the notebook's own `__init_subclass__`, which ran when the class was made and shall not run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .functions import is_by_value

Build = Callable[[tuple[Any, ...]], Any]
_HOOKS = ("__init_subclass__", "__pydantic_init_subclass__")


def build_quietly(bases: tuple[Any, ...], build: Build) -> Any:
    """Hooks of libraries run, as far as they can with a class that has no attributes yet (typing's fill in what is generic)."""
    with _without_hooks_of_the_notebook(bases):
        try:
            return build(bases)
        except Exception as error:
            try:
                made = build((_Quiet, *bases))
                type.__setattr__(made, "__bases__", bases)
            except TypeError:  # another memory layout than the true bases have
                raise error from None
            return made


def _no_hook(cls: Any, /, **_: Any) -> None:
    pass


class _Quiet:
    """A first base whose hooks come before those of libraries."""

    __slots__ = ()

    __init_subclass__ = __pydantic_init_subclass__ = classmethod(_no_hook)


@contextmanager
def _without_hooks_of_the_notebook(bases: tuple[Any, ...]) -> Iterator[None]:
    """They are out of the way for as long as one class is made."""
    owners = dict.fromkeys(each for base in bases for each in base.__mro__[:-1] if is_by_value(each))
    found = [(owner, hook, owner.__dict__[hook]) for owner in owners for hook in _HOOKS if hook in owner.__dict__]
    try:
        for owner, hook, _ in found:
            type.__setattr__(owner, hook, classmethod(_no_hook))
        yield
    finally:
        for owner, hook, own in found:
            type.__setattr__(owner, hook, own)
