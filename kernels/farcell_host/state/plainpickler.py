"""Writing a payload as data, for a notebook that takes data alone."""

from __future__ import annotations

from typing import Any

from . import frames
from . import plain as data
from .dumps import NumberingPickler
from .refs import resolve


class DataPickler(NumberingPickler):
    """Pass 2 for a notebook that takes data alone: everything in the form of `plain.py`."""

    def reducer_override(self, obj: Any) -> Any:
        if obj is data.made or obj is resolve:
            return NotImplemented
        if self._kept and id(obj) in self._kept:
            return resolve, (self._kept[id(obj)],)
        return data.reduce(obj, self._note_array)

    def leave_out_agreed(self, objects: list[Any]) -> None:
        """With a frame among them nothing is left out: what it consists of does not travel, and must not wait."""
        if not any(frames.kind_of_type(kind) for kind in set(map(type, objects))):
            super().leave_out_agreed(objects)

    def state(self, number: int, kind: str, obj: Any) -> tuple[int, str, Any]:
        if kind != "array":
            return number, kind, data.content_of(kind, obj)
        _, _, (writeable, pieces, _, layout) = super().state(number, kind, obj)
        if layout is not None:
            layout = data.dtype_form(obj.dtype), layout[1]
        return number, kind, (writeable, pieces, None, layout)
