"""The interface of one kind of ambient state."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from .watch import Watch

NOTHING = object()


class Provider:
    """What `watch` gives is compared before and after every run, so it costs next to nothing; the rest is called when it differs.

    What `take` gives can be pickled, and `put` makes it so on the other side. `put` leaves out what this side cannot have.
    """

    name: str
    module: str = "sys"
    """Looked at once this has been imported; content that comes before waits for the import."""
    pristine: ClassVar[Any] = NOTHING
    """What `take` gives in a fresh kernel, where that is the same everywhere: it need not be sent."""
    is_drawn_from: ClassVar[bool] = False
    """A generator of random numbers: a draw that the plain notebook does not make is taken back."""

    @property
    def is_here(self) -> bool:
        return self.module in sys.modules

    def watch(self) -> Watch:
        """Is the same at least as long as the stamp is."""
        return Watch(self.stamp)

    def stamp(self) -> Any:
        """Equal stamps mean that nothing has changed."""
        return self.take()

    def take(self) -> Any:
        """All of it."""
        raise NotImplementedError

    def is_pristine(self, content: Any) -> bool:
        """Whether the other side has this from the start."""
        return bool(content == self.pristine)

    def take_since(self, stamp: Any) -> Any:
        """What the other side must be told, which had what `stamp` stands for."""
        return self.take()

    def take_under(self, content: Any) -> Any:
        """What undoes `put(content)`."""
        return self.take()

    def put(self, content: Any) -> None:
        raise NotImplementedError
