"""Refs: what a name is bound to when its value stayed on the target.

A ref shows what it stands for and can be fetched; it never imitates the value. Whatever else is done with it raises
`NotHere` naming the fetch, so code that the analysis of a cell could not see gets an error instead of a wrong answer.
Another remote cell on the same target uses the value itself: the ref travels back as its number.
"""

from __future__ import annotations

import html
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from farcell_host.state.refs import RefBase, RefInfo

from .errors import LostValue, NotHere, Refused

if TYPE_CHECKING:
    from .relay.notebook import Notebook
    from .session import RemoteSession

# Protocols that Python, IPython, pickle, copy and weakref ask every object for; answering them by AttributeError is no imitation.
_CONVERSIONS = frozenset(
    {"__array__", "__array_interface__", "__array_struct__", "__arrow_c_array__", "__arrow_c_stream__", "__dataframe__"}
)
_ASKED_OF_ALL = frozenset({"__wrapped__", "__isabstractmethod__", "__signature__", "__objclass__", "__func__"})


class Ref(RefBase):
    """Stands for one value on one target."""

    def __init__(self, session: RemoteSession, epoch: int, info: RefInfo) -> None:
        set_own = object.__setattr__
        set_own(self, "_session", weakref.ref(session))
        set_own(self, "_epoch", epoch)
        set_own(self, "_target", session.target)
        set_own(self, "_name", "a result")
        set_own(self, "_made", time.strftime("%H:%M"))
        set_own(self, "info", info)
        set_own(self, "__farcell_number__", info.number)

    info: RefInfo
    """Type, module, shape, dtype, device, size_bytes, preview, and why it stayed."""

    def fetch(self) -> Any:
        """Brings the value here, binds the name to it and returns it; LostValue when its kernel is gone, NotHere if it stays."""
        try:
            return self._alive().fetch(self)
        except Refused:
            if self.info.travels:  # else it was tried since a value may have changed that much: a figure that was closed
                raise
            self._not_here("the value")

    @property
    def _is_lost(self) -> bool:
        session: RemoteSession | None = self._session()
        return session is None or session.epoch != self._epoch

    def _alive(self) -> RemoteSession:
        session: RemoteSession | None = self._session()
        if session is not None and self._is_lost and self._name in session.saved:
            raise LostValue(
                f"{self._name} ({self._facts()}), made at {self._made}, was on {self._target!r} only, and its session has ended. "
                f"It was saved then: the next %%remote cell on {self._target!r} brings it back there."
            )
        if session is None or self._is_lost:
            raise LostValue(
                f"{self._name} ({self._facts()}), made at {self._made}, was on {self._target!r} only, and the remote kernel "
                "that held it has ended. Run the cell that made it again."
            )
        return session

    def _was_of(self, session: RemoteSession) -> bool:
        """Whether an earlier kernel of that session held it, and no kernel does now."""
        return self._session() is session and session.epoch != self._epoch

    def _is_of(self, session: RemoteSession) -> bool:
        """Whether that session's present kernel holds the value."""
        return self._session() is session and session.epoch == self._epoch

    def _farcell_elsewhere(self) -> tuple[str, str]:
        try:
            self._alive()
        except LostValue:
            return f"a ref to a value that was on {self._target!r}, whose kernel has ended", "Run the cell that made it again"
        if not self.info.travels:
            return f"a ref to a value that stays on {self._target!r} ({self.info.reason})", "Use it there"
        return f"a ref to a value on {self._target!r}", "Its .fetch() brings it here"

    def _facts(self) -> str:
        info = self.info
        facts = (_kind(info), _shape(info), info.dtype, info.device, human_bytes(info.size_bytes))
        return ", ".join(fact for fact in facts if fact)

    def __repr__(self) -> str:
        return f"<ref to {self._name} on {self._target!r}: {self._facts()}; {self._way()}>"

    def _way(self) -> str:
        if self._is_lost:
            return "lost with its kernel"
        return ".fetch() brings it here" if self.info.travels else f"stays there ({self.info.reason})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        info = self.info
        rows = [
            ("on", self._target),
            ("type", _kind(info)),
            ("shape", _shape(info)),
            ("dtype", info.dtype),
            ("device", info.device),
            ("size", human_bytes(info.size_bytes)),
            ("preview", info.preview),
            ("to bring it here", ".fetch()" if info.travels and not self._is_lost else ""),
            ("stays there", "" if info.travels or self._is_lost else info.reason),
            ("lost", f"with its kernel; it was made at {self._made}" if self._is_lost else ""),
        ]
        cells = "".join(f"<tr><th>{name}</th><td><pre>{html.escape(str(value))}</pre></td></tr>" for name, value in rows if value)
        return {"text/plain": repr(self), "text/html": f"<table>{cells}</table>"}

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ASKED_OF_ALL or (name.startswith(("_repr_", "_ipython_", "__array_")) and not _is_conversion(name)):
            raise AttributeError(name)
        if name.startswith("__") and name.endswith("__") and not _is_conversion(name):
            raise AttributeError(name)
        self._not_here(f"its attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        self._not_here(f"setting {name!r}")

    def _not_here(self, what: str) -> NoReturn:
        self._alive()
        size = human_bytes(self.info.size_bytes)
        way = f"Its .fetch() brings it ({size}), or use" if self.info.travels else f"It stays there ({self.info.reason}): use"
        raise NotHere(
            f"{self._name} is on {self._target!r}, so {what} cannot be had here. {way} it in a %%remote cell on {self._target!r}."
        )


def name_ref(ref: object, name: str) -> None:
    """What the notebook calls it, for messages; a result that has no name keeps none."""
    if isinstance(ref, Ref) and name.isidentifier():
        object.__setattr__(ref, "_name", name)


def human_bytes(size: int) -> str:
    """`1.5 GB`: as people say sizes, in powers of ten."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _is_conversion(name: str) -> bool:
    return name in _CONVERSIONS


def _kind(info: RefInfo) -> str:
    return info.type if info.module == "builtins" else f"{info.module}.{info.type}"


def _shape(info: RefInfo) -> str:
    return "x".join(str(size) for size in info.shape) if info.shape is not None else ""


def _refuse(what: str) -> Callable[..., NoReturn]:
    def refuse(self: Ref, *args: Any, **kwargs: Any) -> NoReturn:
        self._not_here(what)

    return refuse


_OPERATIONS = {
    "its truth": ["bool"],
    "its length": ["len"],
    "its items": ["iter", "next", "getitem", "setitem", "delitem", "contains", "reversed", "aiter", "anext"],
    "its number": ["int", "float", "complex", "index", "round", "trunc", "floor", "ceil"],
    "a call of it": ["call"],
    "its context": ["enter", "exit", "aenter", "aexit"],
    "awaiting it": ["await"],
    "an array of it": ["array", "array_ufunc", "array_function"],
    "its text": ["str", "format", "bytes"],
    "a comparison with it": ["eq", "ne", "lt", "le", "gt", "ge"],
    "arithmetic with it": [
        prefix + name
        for name in [
            "add",
            "sub",
            "mul",
            "truediv",
            "floordiv",
            "mod",
            "divmod",
            "pow",
            "matmul",
            "and",
            "or",
            "xor",
            "lshift",
            "rshift",
        ]
        for prefix in ("", "r", "i")
        if prefix + name != "idivmod"
    ]
    + ["neg", "pos", "abs", "invert"],
}
for _what, _names in _OPERATIONS.items():
    for _name in _names:
        setattr(Ref, f"__{_name}__", _refuse(_what))
Ref.__hash__ = object.__hash__  # type: ignore[method-assign]  # a ref may lie in a set; equality is refused


def fetch_all(refs: Sequence[Ref], notebook: Notebook) -> None:
    """Fetches each; when that takes longer than a second, a bar says so."""
    if not refs:
        return
    from .relay.line import Line, transfer

    total, done = sum(ref.info.size_bytes for ref in refs), 0
    with Line(notebook, transfer("fetching", lambda: (done, total))):
        for ref in refs:
            ref.fetch()
            done += ref.info.size_bytes
