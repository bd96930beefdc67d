"""pandas: a frame, series or index that both sides know is changed in place, as a whole.

A frame is its manager: blocks of columns and the indexes of both axes. Managers and blocks are no objects of their own
to the exchange; they are built anew around the arrays that both sides know. Who shares a block's memory stands in its
`refs`, by which pandas decides whether to copy before it writes: those are known objects too. Others that share the
memory on the sender's side only are stood in for by one block that is never written.

pandas is only looked at when the program has imported it; written for 2.1 to 3.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import sys
from typing import Any
from weakref import WeakSet

_STRUCTURE = ("Block", "BlockManager", "BlockPlacement", "BaseBlockManager")
_PLAIN = (str, int, float, bool, type(None))


def _generic() -> Any:
    return sys.modules.get("pandas.core.generic")


def kind_of_type(kind: type) -> str | None:
    """ "frame", "index" or "refs", for types that are merged here."""
    generic, internals = _generic(), sys.modules.get("pandas._libs.internals")
    if generic is None or internals is None:
        return None
    if issubclass(kind, generic.NDFrame):
        return "frame" if _pickles_as_pandas(kind, generic.NDFrame) else None
    if issubclass(kind, sys.modules["pandas"].Index):
        return "index"
    return "refs" if issubclass(kind, getattr(internals, "BlockValuesRefs", ())) else None


def _pickles_as_pandas(kind: Any, base: Any) -> bool:
    names = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in names)


def is_structure(kind: type) -> bool:
    """Managers, blocks and placements: parts of a frame."""
    return _structure(kind) is not None


def _structure(kind: type) -> str | None:
    for base in kind.__mro__:
        if base.__name__ in _STRUCTURE and base.__module__.startswith(("pandas._libs.internals", "pandas.core.internals")):
            return base.__name__
    return None


def reducer(kind: type) -> Any:
    """How objects of this type go into a pickle; None for pandas' own way."""
    return _REDUCERS.get(_structure(kind) or kind_of_type(kind) or "")


# Frames and series


def _reduce_frame(frame: Any) -> Any:
    return copyreg.__newobj__, (type(frame),), frame_state(frame), None, None, set_frame_state  # type: ignore[attr-defined]


def frame_state(frame: Any) -> Any:
    """(what pandas pickles, `attrs` itself, attributes that the user has set)."""
    parts = frame.__getstate__()
    if parts.get("_metadata") is type(frame)._metadata:
        del parts["_metadata"]
    return parts, parts.pop("attrs", None), {name: vars(frame)[name] for name in set_by_user(frame)}


def set_by_user(frame: Any) -> list[str]:
    of_pandas = {*frame._internal_names, *frame._metadata}
    names = (name for name in vars(frame) if not name.startswith("_") and name not in of_pandas)
    return [name for name in names if not hasattr(type(frame), name)]  # else an accessor: `series.str`


def set_frame_state(frame: Any, state: Any) -> None:
    parts, attrs, others = state
    frame.__setstate__(dict(parts))
    object.__setattr__(frame, "_attrs", attrs)
    own = vars(frame)
    for name in (*set_by_user(frame), "_typ"):  # of the class, and put into the object by pandas' __setstate__
        own.pop(name, None)
    own.update({**{name: own.pop(name) for name in list(own) if name != "_mgr"}, **others})  # the manager stands first
    own.get("_item_cache", {}).clear()  # pandas 2: columns as they were


# Their structure


def _reduce_manager(manager: Any) -> Any:
    return make_manager, (type(manager), (*manager.blocks,), (*manager.axes,))  # tuples of their own, that nobody holds


def make_manager(kind: Any, blocks: tuple[Any, ...], axes: tuple[Any, ...]) -> Any:
    if len(axes) == 1:
        return kind(blocks[0], axes[0])
    return kind(blocks, list(axes), verify_integrity=False)


def _reduce_block(block: Any) -> Any:
    return make_block, (block.values, block.mgr_locs.indexer, block.ndim, block.refs)


def make_block(values: Any, columns: Any, ndim: int, refs: Any) -> Any:
    placement = importlib.import_module("pandas._libs.internals").BlockPlacement(columns)
    block = importlib.import_module("pandas.core.internals.blocks").new_block(values, placement, ndim=ndim, refs=refs)
    _decoded.add(block)
    return block


_decoded: WeakSet[Any] = WeakSet()
"""Blocks that came from the peer and are no part of a frame yet: until they are, nothing here is shared with them."""


def settle() -> None:
    """What was decoded has become part of frames, or never will."""
    _decoded.clear()


@functools.lru_cache(1)
def _others() -> Any:
    """The block that stands for all who share memory on the other side."""
    return make_block(importlib.import_module("numpy").empty((1, 0)), slice(0, 1), 2, None)


def _reduce_refs(refs: Any) -> Any:
    return make_refs, (is_shared(refs),)


def make_refs(shared: bool) -> Any:
    refs = importlib.import_module("pandas._libs.internals").BlockValuesRefs()
    mark_shared(refs, shared)
    return refs


def is_shared(refs: Any) -> bool:
    """Whether more than one block or index on this side uses the memory."""
    users = [reference() for reference in refs.referenced_blocks]
    return sum(user is not None and user is not _others() and user not in _decoded for user in users) > 1


def mark_shared(refs: Any, shared: bool) -> None:
    """Whether it is shared on the other side."""
    users = refs.referenced_blocks
    marks = [reference for reference in users if reference() is _others()]
    for mark in marks:
        users.remove(mark)
    if shared:
        refs.add_reference(_others())


# Indexes: only their names change


def index_content(index: Any) -> Any:
    return index.__reduce__()[:2]


def merge_index(index: Any, new: Any) -> None:
    own = vars(index)
    if not _same(index_content(index), new):
        make, arguments = new
        kept = {name: own[name] for name in ("_id", "_references") if name in own}
        own.update(vars(make(*arguments)))
        own.update(kept)


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, _PLAIN) and bool(one == other)


_REDUCERS = {
    "Block": _reduce_block,
    "BlockManager": _reduce_manager,
    "BaseBlockManager": _reduce_manager,
    "frame": _reduce_frame,
    "refs": _reduce_refs,
}
