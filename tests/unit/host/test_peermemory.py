"""Reading the memory of a real other process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from farcell_host import capabilities, peermemory

pytestmark = pytest.mark.skipif(not capabilities.has_peermemory(), reason="optional: process_vm_readv is Linux's own")
SIZES = [1, 4097, (9 << 20) + 3]
OFFERING = """
import json, sys
from farcell_host import peermemory
buffers = [bytes(i % 251 for i in range(size)) for size in json.loads(sys.argv[1])]
print(json.dumps([peermemory.offer(each) for each in buffers]), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def offers() -> Iterator[list[dict]]:
    """Of a process that lives as long as the tests; see SIZES for the buffers."""
    command = [sys.executable, "-c", OFFERING, json.dumps(SIZES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        offers = json.loads(process.stdout.readline())
        try:
            peermemory.read(offers[0], 1, lambda: None)
        except peermemory.Unreadable as error:
            process.communicate()
            pytest.skip(f"optional: this system does not allow it: {error}")
        yield offers
        process.communicate()


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_a_copy_is_whole_and_ours(offers, number):
    """Any size comes whole, and what is written to the copy stays here."""
    expected = bytes(i % 251 for i in range(SIZES[number]))
    copy = peermemory.read(offers[number], SIZES[number], lambda: None)
    assert copy == expected
    copy[0] ^= 0xFF
    assert peermemory.read(offers[number], SIZES[number], lambda: None) == expected


def test_a_read_is_cut_short(offers):
    """Either thread can end it."""
    calls = []

    def check() -> None:
        calls.append(threading.get_ident())
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        peermemory.read(offers[2], SIZES[2], check)


@pytest.mark.parametrize(
    "wrong",
    [{"pid": 1 << 22}, {"address": 8}, {"token": [8, "00"]}, {"token": None}],
    ids=["no such process", "no such memory", "no such token", "another token"],
)
def test_what_is_not_meant_is_not_read(offers, wrong):
    """A process that ended, another one under its number, memory that is gone: an error, never other bytes."""
    offer = {**offers[1], **wrong}
    offer["token"] = offer["token"] or [offers[1]["token"][0], "00" * 16]
    with pytest.raises(peermemory.Unreadable):
        peermemory.read(offer, SIZES[1], lambda: None)


def test_it_can_be_forbidden(offers, monkeypatch):
    """As any other capability, for tests and for systems that lack it."""
    monkeypatch.setenv("FARCELL_WITHOUT", "peermemory")
    with pytest.raises(peermemory.Unreadable, match="not available"):
        peermemory.read(offers[0], SIZES[0], lambda: None)


def test_what_is_offered_need_not_be_writable():
    """Bytes, read-only views and empty buffers have a place too."""
    for buffer in (b"fixed", memoryview(b"view")[1:], bytearray(), memoryview(bytearray(3))):
        offer = peermemory.offer(buffer)
        assert peermemory.read(offer, memoryview(buffer).nbytes, lambda: None) == buffer


WRITTEN = """
import json, sys
from farcell_host import peermemory
room = bytearray(int(sys.argv[1]))
print(json.dumps(peermemory.offer(room)), flush=True)
sys.stdin.readline()
sys.stdout.write(bytes(room).hex())
"""


def test_what_is_written_is_there(offers):
    """At its offset, and nowhere else; a try changes nothing."""
    with subprocess.Popen([sys.executable, "-c", WRITTEN, "16"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        offer = json.loads(process.stdout.readline())
        peermemory.try_to_write(offer)
        peermemory.write(offer, 4, b"abc")
        peermemory.write(offer, 14, memoryview(b"xyz")[:2])
        written, _ = process.communicate(b"\n")
    assert bytes.fromhex(written.decode()) == bytes(4) + b"abc" + bytes(7) + b"xy"
    for write in (lambda: peermemory.write(offer, 0, b"late"), lambda: peermemory.try_to_write(offer)):
        with pytest.raises(peermemory.Unreadable):
            write()


def test_another_process_is_not_written_to(offers):
    wrong = {**offers[1], "token": [offers[1]["token"][0], "00" * 16]}
    with pytest.raises(peermemory.Unreadable, match="not the one"):
        peermemory.write(wrong, 0, b"x")
