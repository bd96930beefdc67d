"""The journal: every message once to every reader, on a bounded disk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from farcell_host.journal import Cursor, Entry, Journal, entry_of, in_order, messages_of
from farcell_host.protocol.frames import Flags, FrameReader, MessageAssembler
from farcell_host.protocol.messages import Channel, Message


@pytest.fixture
def journal(tmp_path):
    made = []

    def make(quota_bytes=1 << 20):
        made.append(Journal(tmp_path / f"journal{len(made)}", quota_bytes))
        return made[-1]

    yield make
    for one in made:
        one.close()


def line(number: int, size: int = 100, channel: Channel = Channel.IOPUB) -> Message:
    msg_type = "stream" if channel is Channel.IOPUB else "farcell_run_reply"
    content = {"name": "stdout", "text": f"{number} " + "x" * size}
    return Message.build(channel, msg_type, content, parent={"msg_id": "cell"})


class Reader:
    """Follows as a client does: in order, nothing twice, holes only where they are announced."""

    def __init__(self, cursor: int = 0) -> None:
        self.cursor = Cursor(cursor + 1)
        self.last = cursor
        self.messages: list[Message] = []
        self.gaps = 0

    def follow(self, journal: Journal, max_bytes: int = 20_000, blocks: int = 1 << 30) -> Reader:
        while blocks and (block := journal.read(self.cursor, max_bytes)) is not None:
            blocks -= 1
            assembler = MessageAssembler()
            for frame in FrameReader().feed(block.data):
                message = assembler.add(frame)
                if message is None:
                    continue
                gap = bool(frame.flags & Flags.GAP)
                assert frame.sequence == self.last + 1 or (gap and frame.sequence > self.last)
                self.gaps += gap
                self.last = frame.sequence
                self.messages.append(message)
            assert self.last == block.last
        return self

    @property
    def numbers(self) -> list[int]:
        """Of the lines; a notice has none."""
        texts = [m.content.get("text", "") for m in self.messages]
        return [int(text.split()[0]) for text in texts if text[:1].isdigit()]


def test_readers_at_their_own_pace(journal):
    """Readers that begin anywhere and read any amount each get everything from there on."""
    kept, random_ = journal(64 << 20), random.Random(1)
    readers = [Reader() for _ in range(5)]
    for start in range(0, 3000, 50):
        kept.append([entry_of(line(n)) for n in range(start + 1, start + 51)])
        reader = random_.choice(readers)
        reader.follow(kept, random_.randrange(1, 100_000), random_.randrange(5))
    for reader in readers:
        assert reader.follow(kept).numbers == list(range(1, 3001)) and not reader.gaps
    assert Reader(1234).follow(kept).numbers == list(range(1235, 3001))
    assert Reader(3000).follow(kept).messages == []


def test_long_messages_stay_whole(journal):
    """A message in many fragments is read in one piece, whatever the reader's appetite."""
    kept = journal(64 << 20)
    kept.append([entry_of(line(1)), entry_of(line(2, 3 << 20)), entry_of(line(3))])
    assert Reader().follow(kept, 1000).numbers == [1, 2, 3]


def test_a_message_with_bulk_is_read_alone(journal):
    """A message whose buffers need care never hides inside a range."""
    kept = journal()
    entries = [Entry(*entry_of(line(n))[:2], alone=n in (3, 4, 8)) for n in range(1, 11)]
    kept.append(entries)
    cursor, blocks = Cursor(), []
    while (block := kept.read(cursor, 1 << 20)) is not None:
        blocks.append((block.first, block.last, block.alone))
    assert blocks == [(1, 2, False), (3, 3, True), (4, 4, True), (5, 7, False), (8, 8, True), (9, 10, False)]
    first = kept.read(Cursor(4), 1 << 20)
    assert first is not None and (first.first, first.alone) == (4, True)


def test_acknowledged_output_goes_silently(journal):
    """Over the quota, what the driver has read is deleted without a word; a late observer is told of the hole."""
    kept = journal()
    driver = Reader()
    for start in range(0, 20_000, 100):
        kept.append([entry_of(line(n)) for n in range(start + 1, start + 101)])
        kept.acknowledge(driver.follow(kept).last)
    assert driver.numbers == list(range(1, 20_001)) and not driver.gaps
    assert kept.size < 1 << 20
    late = Reader().follow(kept)
    assert late.gaps == 1 and late.numbers[-1] == 20_000
    assert not any(m.msg_type == "farcell_output_dropped" for m in late.messages)


def test_unread_output_over_the_quota_leaves_a_notice(journal):
    """Unread output goes too, but replies stay, and in its place stands how much it was, for the program and for the eye."""
    kept = journal()
    reader = Reader()
    for number in range(1, 20_001):
        channel = Channel.SHELL if number % 5000 == 1 else Channel.IOPUB
        kept.append([entry_of(line(number, channel=channel))])
        if number == 100:
            kept.acknowledge(reader.follow(kept).last)
    assert kept.size < 1 << 20
    reader.follow(kept)
    replies = [m for m in reader.messages if m.channel is Channel.SHELL]
    assert [int(m.content["text"].split()[0]) for m in replies] == [1, 5001, 10001, 15001]
    notices = [m for m in reader.messages if m.msg_type == "farcell_output_dropped"]
    assert len(notices) == 1 and notices[0].parent_header == {"msg_id": "cell"}
    lost = notices[0].content["messages"]
    assert len(reader.numbers) + lost == 20_000 and reader.numbers[-1] == 20_000
    (shown,) = [m for m in reader.messages if m.content.get("name") == "stderr"]
    assert f"{lost:,} messages of output" in shown.content["text"] and shown.parent_header == {"msg_id": "cell"}


def test_a_reader_overtaken_by_the_quota(journal):
    """A reader in the middle when its place is dropped goes on after the hole, and the notice counts everything since."""
    kept = journal()
    kept.append([entry_of(line(n)) for n in range(1, 1001)])
    reader = Reader().follow(kept, 1000, 2)
    for number in range(1001, 12_001):
        kept.append([entry_of(line(number))])
    reader.follow(kept)
    assert reader.numbers[-1] == 12_000 and reader.numbers == sorted(set(reader.numbers)) and reader.gaps


def test_a_full_disk_turns_to_memory(journal, tmp_path):
    """When files can no longer be made, messages are still numbered, kept and read."""
    kept = journal()
    kept.append([entry_of(line(n)) for n in range(1, 101)])
    folder: Path = tmp_path / "journal0"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    kept.append([entry_of(line(n, 2000)) for n in range(101, 1000)])
    assert Reader(900).follow(kept).numbers == list(range(901, 1000))


@pytest.mark.parametrize("quota_bytes", [8 << 20, 128 << 10])
def test_what_a_host_that_dies_has_left_is_read_from_the_files(journal, tmp_path, quota_bytes) -> None:
    """All of it or what comes after a number; with a small quota outputs are missing, and replies are not."""
    one = journal(quota_bytes)
    for number in range(1, 3001):
        one.append([entry_of(line(number, channel=Channel.SHELL if number % 500 == 0 else Channel.IOPUB))])
    folder = tmp_path / "journal0"
    names = [file.name for file in folder.iterdir()]

    def read(after: int) -> list[tuple[int, Message]]:
        return list(messages_of(b"".join((folder / name).read_bytes() for name in in_order(names, after))))

    found = read(0)
    numbers = [sequence for sequence, _ in found]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 3000
    assert (len(found) == 3000) == (quota_bytes == 8 << 20)
    assert [number for number, message in found if message.channel is Channel.SHELL] == [500, 1000, 1500, 2000, 2500, 3000]
    assert [number for number, _ in read(2990) if number > 2990] == list(range(2991, 3001))
    assert len(read(2990)) < len(found)


def test_the_last_message_of_a_host_that_dies_may_be_half(journal, tmp_path) -> None:
    one = journal()
    one.append([entry_of(line(1)), entry_of(line(2))])
    (file,) = (tmp_path / "journal0").iterdir()
    assert [number for number, _ in messages_of(file.read_bytes()[:-10])] == [1]
    assert [number for number, _ in messages_of(file.read_bytes() + bytes(100))] == [1, 2]


def test_its_files_stay_when_they_are_left_to_others(journal, tmp_path) -> None:
    one = journal()
    one.append([entry_of(line(1))])
    one.close(keep=True)
    assert [number for number, _ in messages_of(next((tmp_path / "journal0").iterdir()).read_bytes())] == [1]
