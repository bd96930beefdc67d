"""Of a host's backlog only the run that is attached to is for the new kernel, however late the rest comes."""

from __future__ import annotations

from farcell.earlier import HeldBack
from farcell_host.protocol.messages import Channel, Message


def printed(run: str, text: str) -> Message:
    message = Message.build(Channel.IOPUB, "stream", {"name": "stdout", "text": text})
    header, _, metadata, content = message.parts
    return Message(message.channel, (header, b'{"farcell_run": "%s"}' % run.encode(), metadata, content), ())


def test_only_the_runs_own_messages_are_kept() -> None:
    is_behind = True
    held, taken = HeldBack("this", lambda: is_behind), []
    assert held.take(printed("other", "before"), ()) and held.take(printed("this", "1"), ())
    held.release(lambda message, bulk: taken.append(message.content["text"]))
    assert taken == ["1"]
    assert held.take(printed("other", "late"), ()), "dealt with: of the backlog, and not for us"
    assert not held.take(printed("this", "2"), ())
    is_behind = False
    assert not held.take(printed("other", "what a thread prints now"), ())
