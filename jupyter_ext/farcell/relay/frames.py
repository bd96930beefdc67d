"""Remote iopub messages republished as they are through the notebook kernel's own IOPub thread.

The remote kernel ran under the local cell's header, so its messages already have the right parent. New are the signature, and
the session in the header: JupyterLab takes a message with another session than the one that came last for one of a kernel
that has been restarted, and drops comm messages and replies that it had not yet come to (`_assertCurrentMessage`).

The IOPub thread's queue is one FIFO for all threads, so the order of calls is the order on the wire. This may be called from
any thread: a print or display_pub would take its parent from the calling thread and show the output under another cell.

zmq drops what a front end has not read, from the thousandth message on. A local cell that flushes each line waits for the IOPub
thread and is slower than its reader; a target is faster, and a journal that is read again much more. So there is room for more.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from farcell_host.protocol.messages import Message, encode_json
from jupyter_client.session import Session

_SESSION = re.compile(rb'"session": ?"[^"\\]*"')  # quotes inside a text have a backslash before them
DELIMITER = b"<IDS|MSG>"
UNREAD_MESSAGES = 100_000


class FramePublisher:
    """Signs with a Session of its own: the kernel's is not safe to share between threads."""

    def __init__(self, kernel: Any) -> None:
        self._thread = kernel.iopub_thread
        own = kernel.session
        self._session = Session(key=own.key, signature_scheme=own.signature_scheme, session=own.session)
        self._own_session = b'"session": ' + encode_json(own.session).replace(b"\\", rb"\\")
        self._topic = f"kernel.{kernel.ident}.".encode()
        self._thread.schedule(self._make_room)

    def _make_room(self) -> None:
        """On the IOPub thread, to which the socket belongs. Holds for front ends that are connected already, too."""
        self._thread.socket.sndhwm = UNREAD_MESSAGES

    def publish(self, message: Message) -> None:
        header, found = _SESSION.subn(self._own_session, bytes(message.parts[0]), count=1)
        if not found:
            header = encode_json({**message.header, "session": self._session.session})
        parts = [header, *(bytes(part) for part in message.parts[1:])]
        topic = self._topic + message.msg_type.encode()
        self._thread.send_multipart([topic, DELIMITER, self._session.sign(parts), *parts, *message.buffers])

    def flush_local(self) -> None:
        """Puts what local code has printed so far before what is published from now on, without waiting for the send.

        OutStream.flush() waits for the IOPub thread (0.7 ms); scheduling `_flush` there would queue the text behind
        frames that come
        meanwhile. Here it is queued by this thread; an empty stream costs nothing.
        """
        for stream in (sys.stdout, sys.stderr):
            if getattr(stream, "_buffers", True):
                getattr(stream, "_flush", stream.flush)()
