"""Whoever looks which hosts live does not disturb them, nor others that look."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from farcell_host import runtime


@contextmanager
def looked_at(folder: Path, threads: int = 4) -> Iterator[list[object]]:
    """By several at once, all the time; what they have taken for live hosts."""
    found: list[object] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            found.extend(runtime.live_hosts(folder))

    lookers = [threading.Thread(target=look) for _ in range(threads)]
    for looker in lookers:
        looker.start()
    try:
        yield found
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def session(root: Path, name: str) -> Path:
    """The folder that a host has left which died."""
    folder = root / name
    folder.mkdir()
    (folder / runtime.HOST_FILE).write_text(json.dumps({"pid": 1, "socket": "s"}))
    return folder


def test_a_dead_host_is_taken_for_none_however_many_look(tmp_path: Path) -> None:
    session(tmp_path, "s-1")
    with looked_at(tmp_path) as found:
        for _ in range(500):
            assert list(runtime.live_hosts(tmp_path)) == []
    assert found == []


def test_a_host_begins_while_others_look(tmp_path: Path) -> None:
    """A look holds its lock for an instant, which is not to keep a host from its folder."""
    with looked_at(tmp_path):
        for number in range(200):
            lock = runtime.HostLock(session(tmp_path, f"s-{number}"))
            lock.close()


def test_a_folder_with_a_living_host_is_taken(tmp_path: Path) -> None:
    lock = runtime.HostLock(session(tmp_path, "s-1"))
    lock.write({"pid": 7, "socket": "here"})
    (host,) = runtime.live_hosts(tmp_path)
    assert (host.pid, host.socket) == (7, "here")
    with pytest.raises(runtime.RuntimeFolderError, match="already lives"):
        runtime.HostLock(tmp_path / "s-1")
    lock.close()
    assert list(runtime.live_hosts(tmp_path)) == []
