"""Every message of the remote kernel, numbered and on disk, so that each reader receives all of them at its own pace.

Messages are stored as the frames that go to the readers: a reader far behind is served by reading a range of a file. Memory
holds a sparse index only. Over the disk quota the oldest segments go: silently what the driver has acknowledged; else outputs
are dropped, while replies, questions and control messages are kept, and in the place of the dropped ones stands a message
that says how much it was, once as data and once for the reader's eyes. When the disk refuses to take more, the journal goes
on in memory with a small quota.
"""

from __future__ import annotations

import logging
import math
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .errors import FarcellHostError, ProtocolError
from .protocol.frames import (
    HEAD_BYTES,
    Flags,
    Frame,
    FrameReader,
    Kind,
    MessageAssembler,
    decode_message,
    encode_frame,
    encode_message,
)
from .protocol.messages import Buffer, Channel, Message
from .segment import Segment

QUOTA_BYTES = 512 << 20
MEMORY_QUOTA_BYTES = 32 << 20  # once the disk is full
_SEGMENTS = 16
_MIN_SEGMENT, _MAX_SEGMENT = 64 << 10, 8 << 20
_MORE, _GAP = int(Flags.MORE), int(Flags.GAP)

log = logging.getLogger("farcell.host")


def messages_of(data: bytes) -> Iterator[tuple[int, Message]]:
    """The messages in a journal's files, one file after the other, with their numbers: as far as they are whole. A node that
    dies may leave half a frame at the end, or zeros."""
    reader, assembler = FrameReader(), MessageAssembler()
    at = 0
    try:
        while (end := at + HEAD_BYTES + int.from_bytes(data[at : at + 4], "big")) <= len(data):
            for frame in reader.feed(data[at:end]):
                message = assembler.add(frame)
                if message is not None:
                    yield frame.sequence, message
            at = end
    except ProtocolError as error:
        log.warning("The journal of a host that is gone cannot be read further: %s", error)


def in_order(names: Iterable[str], after: int = 0) -> list[str]:
    """Which of a journal's files hold messages after number `after`, the first message's first."""
    kept = sorted(name for name in names if name.startswith("kept-"))
    others = sorted(name for name in names if name.isdigit())
    firsts = [int(name) for name in others[1:]]
    return [*kept, *(name for name, following in zip(others, [*firsts, math.inf], strict=False) if following > after + 1)]


class Entry(NamedTuple):
    """One message as frames: their bodies, each a list of buffers. `alone`: it is read by itself, never inside a range."""

    channel: int
    bodies: Sequence[Sequence[Buffer]]
    alone: bool = False


def entry_of(message: Message, alone: bool = False) -> Entry:
    return Entry(message.channel, [frame[1:] for frame in encode_message(message)], alone)


class Block(NamedTuple):
    """Messages `first` to `last`, encoded; `alone` as the entry said (then it is one message)."""

    first: int
    last: int
    data: bytes
    alone: bool
    gap: bool


@dataclass
class Cursor:
    """A reader's place; `next` is the number it wants. The rest is a hint, checked at every use."""

    next: int = 1
    segment: Segment | None = None
    offset: int = 0


@dataclass
class _Dropped:
    """What is gone from the front of the journal without having been acknowledged."""

    messages: int = 0
    size: int = 0
    sequences: list[int] = field(default_factory=list)  # the last two: their numbers carry the notice
    parent: bytes = b"{}"


class Journal:
    def __init__(self, folder: Path, quota_bytes: int = QUOTA_BYTES) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.acknowledged = 0
        self.next = 1
        self.quota_bytes = quota_bytes
        self._folder: Path | None = folder
        self._alone: list[int] = []
        self._dropped = _Dropped()
        self._compacted = False  # the first segment is what was kept of dropped ones
        self._segments = [self._new_segment()]

    @property
    def last(self) -> int:
        return self.next - 1

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    def append(self, entries: Sequence[Entry]) -> int:
        """Writes them at once and numbers them; gives the first one's number."""
        first = self.next
        start = 0
        for at, entry in enumerate(entries):
            if entry.alone:  # index entries before and after it
                self._write(entries[start:at])
                self._write(entries[at : at + 1])
                start = at + 1
        self._write(entries[start:])
        return first

    def acknowledge(self, sequence: int) -> None:
        """The driver has handled everything up to `sequence`."""
        self.acknowledged = max(self.acknowledged, min(sequence, self.last))

    def read(self, cursor: Cursor, max_bytes: int = 256 << 10) -> Block | None:
        """The next messages for this reader, about `max_bytes` of whole ones; moves the cursor. None: it has all."""
        if cursor.next >= self.next:
            return None
        wanted = cursor.next
        segment, offset, first = self._locate(cursor)
        at = bisect_left(self._alone, first)
        alone = self._alone[at] if at < len(self._alone) else None
        if alone == first:
            after = self._alone[at] + 1
            end = segment.find(after)[1] if after < segment.next else segment.size
            until = after
        else:
            until, end = segment.boundary(offset, first, max_bytes, alone)
        data = segment.read(offset, end)
        gap = first > wanted
        if gap:
            data = _with_gap(data, first)
        cursor.segment, cursor.offset, cursor.next = segment, end, until
        return Block(first, until - 1, data, alone == first, gap)

    def open_newest(self) -> int:
        """The file that is written, opened once more: for a thread that has it written to the disk."""
        return os.dup(self._segments[-1].fd)

    def close(self, keep: bool = False) -> None:
        """`keep`: the files stay, for `messages_of`."""
        for segment in self._segments:
            segment.close() if keep else segment.delete()
        self._segments = []

    # -- writing

    def _write(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        sequence = self.next
        buffers: list[Buffer] = []
        for entry in entries:
            last = len(entry.bodies) - 1
            for number, body in enumerate(entry.bodies):
                flags = _MORE if number < last else 0
                buffers += encode_frame(Kind.MESSAGE, body, channel=entry.channel, flags=flags, sequence=sequence)
            sequence += 1
        alone = entries[0].alone
        self._store(buffers, alone)
        if alone:
            self._alone.append(self.next)
        self.next = self._segments[-1].next = sequence

    def _store(self, buffers: list[Buffer], alone: bool) -> None:
        segment = self._current()
        after_alone = bool(self._alone) and self._alone[-1] == self.next - 1
        segment.mark(self.next, always=alone or after_alone)
        try:
            segment.write(buffers)
            return
        except OSError as error:
            if self._folder is None and not segment.size:
                raise FarcellHostError(f"The journal can be kept neither on disk nor in memory: {error}") from error
            self._leave_disk(error)
        self._begin_segment()
        self._store(buffers, alone)

    def _leave_disk(self, error: OSError) -> None:
        if self._folder is not None:
            log.error("The journal cannot be written, it goes on in memory: %s", error)
        self._folder = None
        self.quota_bytes = min(self.quota_bytes, MEMORY_QUOTA_BYTES)

    def _current(self) -> Segment:
        if self._segments[-1].size >= self._segment_bytes:
            self._begin_segment()
        return self._segments[-1]

    @property
    def _segment_bytes(self) -> int:
        return max(_MIN_SEGMENT, min(_MAX_SEGMENT, self.quota_bytes // _SEGMENTS))

    def _begin_segment(self) -> None:
        self._segments.append(self._new_segment())
        while self.size > self.quota_bytes - self._segment_bytes and len(self._segments) > 2 + self._compacted:
            self._drop_oldest()

    def _new_segment(self) -> Segment:
        return self._open_segment(self.next, f"{self.next:020d}")

    def _open_segment(self, first: int, name: str) -> Segment:
        """On disk, or in memory where the disk has no room for another file."""
        if self._folder is not None:
            try:
                return Segment(first, self._folder / name)
            except OSError as error:
                self._leave_disk(error)
        return Segment(first, None)

    # -- reading

    def _locate(self, cursor: Cursor) -> tuple[Segment, int, int]:
        """Where the wanted message is, or the first one after it: segment, offset, number."""
        segment = cursor.segment
        is_there = segment is not None and segment in self._segments[int(self._compacted) :]
        if segment is not None and is_there and segment.size > cursor.offset:
            return segment, cursor.offset, cursor.next
        for segment in self._segments:
            if segment.next > cursor.next and segment.size:
                return (segment, *self._scan(segment, cursor.next))
        raise FarcellHostError(f"The journal has no message {cursor.next}, its last is {self.last}")

    def _scan(self, segment: Segment, sequence: int) -> tuple[int, int]:
        if sequence <= segment.first and not (segment is self._segments[0] and self._compacted):
            return 0, segment.first
        _, offset = segment.find(sequence)
        for frame in segment.frames(offset):
            if frame.sequence >= sequence:
                return offset, frame.sequence
            offset += 16 + len(frame.body)
        raise ProtocolError(f"The journal's segment from {segment.first} does not hold message {sequence}")

    # -- the quota

    def _drop_oldest(self) -> None:
        oldest = self._segments[0]
        if oldest.next <= self.acknowledged + 1:
            oldest.delete()
            del self._segments[0]
            if self._compacted:
                self._compacted, self._dropped = False, _Dropped()
            self._forget_alone()
            return
        old = self._segments[: 1 + self._compacted]
        kept = self._keep(old)
        segment = self._open_segment(old[0].first, f"kept-{old[-1].next:020d}")
        try:
            self._fill(segment, kept)
        except OSError as error:
            segment.delete()
            self._leave_disk(error)
            segment = Segment(old[0].first, None)
            self._fill(segment, kept)
        segment.next = old[-1].next
        self._segments[: len(old)] = [segment]
        self._compacted = True
        for gone in old:
            gone.delete()

    def _fill(self, segment: Segment, kept: Sequence[tuple[int, int, Sequence[Sequence[Buffer]]]]) -> None:
        before = self.acknowledged
        for sequence, channel, bodies in kept:
            segment.mark(sequence, always=True)
            gap = _GAP if sequence != before + 1 else 0
            buffers: list[Buffer] = []
            for number, body in enumerate(bodies):
                flags = gap | (_MORE if number < len(bodies) - 1 else 0)
                buffers += encode_frame(Kind.MESSAGE, body, channel=channel, flags=flags, sequence=sequence)
            segment.write(buffers)
            before = sequence

    def _keep(self, segments: Sequence[Segment]) -> list[tuple[int, int, Sequence[Sequence[Buffer]]]]:
        """What stays of these: all but outputs, and the notice of what went."""
        dropped = self._dropped
        notice = set(dropped.sequences) if self._compacted else set()
        kept: dict[int, tuple[int, list[Sequence[Buffer]]]] = {}
        parent: Frame | None = None
        alone = set(self._alone)
        for segment in segments:
            for frame in segment.frames():
                sequence = frame.sequence
                if sequence <= self.acknowledged or sequence in notice:
                    continue
                if frame.channel != Channel.IOPUB or sequence in alone:
                    kept.setdefault(sequence, (frame.channel, []))[1].append([bytes(frame.body)])
                    continue
                dropped.size += len(frame.body)
                if not frame.flags & _MORE:
                    dropped.messages += 1
                    dropped.sequences = [*dropped.sequences[-1:], sequence]
                    parent = frame
        if parent is not None:
            dropped.parent = _parent_of(parent) or dropped.parent
        for sequence, message in zip(reversed(dropped.sequences), reversed(_notice(dropped)), strict=False):
            kept[sequence] = (message.channel, [frame[1:] for frame in encode_message(message)])
        return [(sequence, *kept[sequence]) for sequence in sorted(kept)]

    def _forget_alone(self) -> None:
        del self._alone[: bisect_left(self._alone, self._segments[0].first)]


def _notice(dropped: _Dropped) -> list[Message]:
    """As data for the client, and as text in the output of the cell that printed it; the text alone where one number is free."""
    text = (
        f"[farcell: {dropped.messages:,} messages of output ({dropped.size / 2**20:.1f} MiB) are missing here: "
        "nobody read them in time and the journal's disk quota was reached]\n"
    )
    content = {"messages": dropped.messages, "bytes": dropped.size}
    data = Message.build(Channel.IOPUB, "farcell_output_dropped", content)
    shown = Message.build(Channel.IOPUB, "stream", {"name": "stderr", "text": text})
    return [
        Message(message.channel, (message.parts[0], dropped.parent, message.parts[2], message.parts[3]))
        for message in (data, shown)
    ]


def _parent_of(frame: Frame) -> bytes | None:
    try:
        return decode_message(frame.channel, frame.body).parts[1]
    except (ProtocolError, ValueError):  # the last fragment of a longer message
        return None


def _with_gap(data: bytes, sequence: int) -> bytes:
    """The same frames, those of message `sequence` flagged: the ones before it are gone."""
    changed = bytearray(data)
    at = 0
    while at < len(changed) and int.from_bytes(changed[at + 8 : at + 16], "big") == sequence:
        flags = int.from_bytes(changed[at + 6 : at + 8], "big") | _GAP
        changed[at + 6 : at + 8] = flags.to_bytes(2, "big")
        at += 16 + int.from_bytes(changed[at : at + 4], "big")
    return bytes(changed)
