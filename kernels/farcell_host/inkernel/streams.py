"""stdout, stderr and the session of the remote kernel: what goes to iopub goes over the direct link while it is up.

ipykernel's flush hops to its IOPub thread and waits for it, up to four times a cell; with a link the calling thread
writes the message itself. A stream that has collected FLUSH_CHARS is flushed at once, so a cell that floods waits for
its reader instead of filling this process's memory.
"""

# mypy: disable-error-code="no-untyped-call"
# ipykernel and IPython annotate only some of what is called here.

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from ipykernel.iostream import OutStream
from jupyter_client.session import Session

if TYPE_CHECKING:
    from .link import Link

FLUSH_CHARS = 64 << 10


class LinkSession(Session):
    """Sends iopub messages over `link` while it is up, and answers to requests that came over it."""

    link: Link | None = None

    def send(self, stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
        link = self.link
        if link is None or not link.takes(stream) or os.getpid() != link.pid:
            return super().send(stream, msg_or_type, *args, **kwargs)
        return self._send_over_link(link, stream, msg_or_type, *args, **kwargs)

    def _send_over_link(
        self,
        link: Link,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """Session.send's own parameters, whatever of them are given by position."""
        if isinstance(msg_or_type, dict):
            message = msg_or_type
            buffers = buffers or message.get("buffers")
        else:
            message = self.msg(msg_or_type, content=content, parent=parent, header=header, metadata=metadata)
        parts = tuple(self.pack(message[part]) for part in ("header", "parent_header", "metadata", "content"))
        link.send_parts(stream, parts, [memoryview(buffer).cast("B") for buffer in buffers or ()])
        return message


class LinkStream(OutStream):
    """An OutStream that is flushed by its writer while the link is up."""

    session: LinkSession

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._flush_lock = threading.RLock()
        self._unflushed = 0
        self._has_timer = False
        super().__init__(*args, **kwargs)

    def write(self, string: str) -> int:
        super().write(string if isinstance(string, str) and string.isascii() else _sendable(string))
        self._unflushed += len(string)
        if self._unflushed >= FLUSH_CHARS and self._link() is not None:
            self.flush()
        return len(string)

    def flush(self) -> None:
        """Returns when everything written before has been sent, also what the timer's thread has taken out of the buffer."""
        link = self._link()
        if link is None:
            super().flush()
            return
        with link.guard, self._flush_lock:
            if self._buffers:
                self._flush()

    def _link(self) -> Link | None:
        link = self.session.link
        return link if link is not None and os.getpid() == link.pid else None

    def _flush(self) -> None:
        if not self._is_master_process():
            super()._flush()  # a forked child: the lock may be held by a thread that does not exist here
            return
        with self._flush_lock:
            self._unflushed = 0
            super()._flush()

    def _schedule_flush(self) -> None:
        """One timer at a time, however often the stream is flushed meanwhile; ipykernel starts one after each flush."""
        if self._has_timer:
            return
        self._has_timer = True
        self.pub_thread.schedule(lambda: self._io_loop.call_later(self.flush_interval, self._flush_by_timer))

    def _flush_by_timer(self) -> None:
        self._has_timer = False
        self._flush()


def _sendable(text: Any) -> Any:
    """With U+FFFD in place of half a surrogate pair, which no message can hold: the run would fail for a print."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    except AttributeError:  # no text: for ipykernel to refuse
        pass
    return text


# Libraries ask by the name of its class whether stdout is a notebook's; error messages name it.
for _name in ("__name__", "__qualname__", "__module__"):
    setattr(LinkStream, _name, getattr(OutStream, _name))
