"""Files and folders from one side to the other, as they are: only what differs travels, each file takes its place when whole.

Each side's files are served by the same `Files`, the target's through requests; what is done with them is here, the same in both
directions. A file that has the size and the time of change of its twin is taken to be the same.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from farcell_host.files import PIECE_BYTES, CannotCopy, Files, explain
from farcell_host.filetree import FILE, FOLDER, LINK, Entry, Tree, named, needed_room
from farcell_host.partfile import whole
from farcell_host.protocol.messages import Buffer

from .errors import Refused
from .refs import human_bytes

REQUEST_BYTES = 32 << 20
"""So much of files is in memory at once."""
REQUEST_FILES = 1000


class Side(Protocol):
    """`Files` with the answers as they come; raises Refused."""

    name: str

    def ask(self, operation: str, contents: Sequence[Buffer] | None = None, **arguments: Any) -> tuple[Any, list[Buffer]]: ...


class Here:
    """The notebook's own."""

    name = "here"

    def __init__(self, raising: Callable[[], AbstractContextManager[None]]) -> None:
        """Within `raising` Ctrl-C ends the work."""
        self._files = Files()
        self._raising = raising

    def ask(self, operation: str, contents: Sequence[Buffer] | None = None, **arguments: Any) -> tuple[Any, list[Buffer]]:
        if contents is not None:
            arguments["contents"] = contents
        try:
            with self._raising():
                answer = getattr(self._files, operation)(**arguments)
        except (OSError, CannotCopy) as error:
            raise Refused(f"Here: {explain(error)}") from error
        return (None, answer) if operation == "read" else (answer, [])


class There:
    """A target's; `ask` is its conversation's `ask_files`."""

    def __init__(self, target: str, ask: Callable[..., tuple[Any, list[Buffer]]]) -> None:
        self.name = f"on {target!r}"
        self.ask = ask


@dataclass(frozen=True)
class Copied:
    """What became of a copy; `root` is where it is, `files` how many there are in all."""

    root: str
    files: int
    sent: tuple[str, ...] = ()
    bytes: int = 0
    """Of the files that were sent."""
    travelled: int = 0
    """Without pieces that were there already."""
    skipped: tuple[str, ...] = ()


@dataclass
class Copy:
    """One file that is to travel: from where, to where, what of it."""

    path: str
    place: str
    entry: Entry
    base: str | None = None
    digest: str | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spans = [(0, self.entry.size)]

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.spans)


@dataclass
class Progress:
    """Bytes that have been written, and all that are to be."""

    done: int = 0
    total: int = 0


def copy(
    source: Side,
    destination: Side,
    path: str,
    there: str | None,
    *,
    exclude: Sequence[str],
    overwrite: bool,
    confirm: Callable[[int, str], None],
    progress: Progress,
    is_foreign: bool = False,
) -> Copied:
    """Raises Refused before anything is written where that can be known: newer files, links that lead out, a full disk.

    `is_foreign`: the source is a target with `trust = "data"`, which says neither what the copy is called nor where it leads to.
    """
    tree = Tree.of(source.ask("survey", path=path, exclude=list(exclude))[0])
    if is_foreign:
        tree = _own(tree, path, there)
    found = destination.ask("place", path=there, tree=tree.as_json())[0]
    state, root = found["there"], found["root"]
    differing, links = _differing(source, destination, tree, state)
    if not overwrite:
        _check_newer(destination.name, differing, links, state)
    room = needed_room((each.entry.size, max(0, state[each.entry.path].get("size", 0))) for each in differing)
    if room > found["free"]:
        raise Refused(
            f"{human_bytes(room)} are needed {destination.name} in {root}, and {human_bytes(found['free'])} are free. "
            "Nothing was written."
        )
    size = sum(each.entry.size for each in differing)
    if differing:
        largest = max(differing, key=lambda each: each.entry.size)
        confirm(size, f"{os.path.basename(largest.path)}, {human_bytes(largest.entry.size)}")
    folders = [entry for entry in tree.entries if entry.kind == FOLDER]
    destination.ask(
        "folders",
        paths=[*([root] if tree.is_folder else []), *(state[entry.path]["place"] for entry in folders)],
        links=[[state[entry.path]["place"], entry.leads_to] for entry in links],
    )
    for each in differing:
        _leave_out_what_is_there(source, destination, each, state[each.entry.path])
    progress.total = sum(each.bytes for each in differing)
    send(source, destination, differing, progress)
    made = [[state[entry.path]["place"], entry.mode] for entry in reversed(folders) if not state[entry.path]["exists"]]
    if made:
        destination.ask("settle", modes=made)
    count = sum(entry.kind == FILE for entry in tree.entries)
    sent = tuple(each.entry.path or tree.name for each in differing)
    return Copied(root, count, sent, size, progress.done, tuple(tree.skipped))


def _own(tree: Tree, path: str, there: str | None) -> Tree:
    """With the name that was asked for, and nothing but files and folders that everybody may have."""
    name = posixpath.basename(posixpath.normpath(path))
    if name in ("", ".", "..") and there is not None:
        name = posixpath.basename(there)
    if name in ("", ".", ".."):
        raise Refused(f"{path} has no name of its own: say what it is to be called here.")
    kinds = {entry.kind for entry in tree.entries} - {FILE, FOLDER}
    if kinds:
        raise Refused(
            f'{path} has links in it, and its target has trust = "data": a link of it might lead anywhere. Nothing was written. '
            "--exclude leaves them out."
        )
    return replace(tree, name=name, entries=[replace(entry, mode=entry.mode & 0o777) for entry in tree.entries])


def send(source: Side, destination: Side, files: Sequence[Copy], progress: Progress) -> None:
    """As much at a time as one request takes. When it ends early, what is half written stays for the next time."""
    for pieces in _requests(files):
        spans = [_span(each, offset, size) for each, offset, size, _, _ in pieces]
        _, contents = source.ask("read", spans=spans)
        destination.ask("write", pieces=[_piece(*each) for each in pieces], contents=contents)
        progress.done += sum(size for _, _, size, _, _ in pieces)


Piece = tuple[Copy, int, int, bool, bool]
"""Of which file, its offset and size, whether it is the first and the last."""


def _requests(files: Sequence[Copy]) -> Iterator[list[Piece]]:
    request: list[Piece] = []
    room = REQUEST_BYTES
    for each in files:
        cut = [piece for span in each.spans for piece in _cut(*span)]
        for number, (offset, size) in enumerate(cut):
            if request and (size > room or len(request) >= REQUEST_FILES):
                yield request
                request, room = [], REQUEST_BYTES
            request.append((each, offset, size, number == 0, number == len(cut) - 1))
            room -= size
    if request:
        yield request


def _cut(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Spans of a request's size at most; an empty one stays one."""
    yield offset, min(size, REQUEST_BYTES)
    for more in range(REQUEST_BYTES, size, REQUEST_BYTES):
        yield offset + more, min(size - more, REQUEST_BYTES)


def _span(file: Copy, offset: int, size: int) -> dict[str, Any]:
    entry = file.entry
    return {"path": file.path, "offset": offset, "size": size, "file_size": entry.size, "mtime_ns": entry.mtime_ns}


def _piece(file: Copy, offset: int, size: int, first: bool, last: bool) -> dict[str, Any]:
    entry = file.entry
    about = {"size": entry.size, "mode": entry.mode, "mtime_ns": entry.mtime_ns, "base": file.base, "digest": file.digest}
    return {"place": file.place, "offset": offset, "first": first, "last": last, **about}


def _differing(source: Side, destination: Side, tree: Tree, state: dict[str, dict[str, Any]]) -> tuple[list[Copy], list[Entry]]:
    """Files whose content is another one there, or that are not there, and links that lead elsewhere."""
    alike, differing = [], {}
    for entry in tree.entries:
        now = state[entry.path]
        if entry.kind != FILE or (now["exists"] and (now["size"], now["mtime_ns"]) == (entry.size, entry.mtime_ns)):
            continue
        path = posixpath.join(tree.root, entry.path) if entry.path else tree.root
        differing[entry.path] = Copy(path, now["place"], entry)
        if now["exists"] and now["size"] == entry.size:
            alike.append(entry.path)
    if alike:
        ours = source.ask("digests", files=[[differing[path].path, differing[path].entry.size] for path in alike])[0]
        theirs = destination.ask("digests", files=[[differing[path].place, differing[path].entry.size] for path in alike])[0]
        for path, one, other in zip(alike, ours, theirs, strict=True):
            if one == other is not None:
                del differing[path]
    links = [each for each in tree.entries if each.kind == LINK and state[each.path].get("leads_to") != each.leads_to]
    return list(differing.values()), links


def _check_newer(where: str, differing: Sequence[Copy], links: Sequence[Entry], state: dict[str, dict[str, Any]]) -> None:
    newer = [each.place for each in differing if state[each.entry.path].get("mtime_ns", -1) > each.entry.mtime_ns]
    newer += [state[link.path]["place"] for link in links if state[link.path]["exists"]]
    if newer:
        raise Refused(
            f"{named(newer)}: what is {where} is newer, and another. Nothing was written. --overwrite replaces it; "
            "a different name keeps both."
        )


def _leave_out_what_is_there(source: Side, destination: Side, file: Copy, now: dict[str, Any]) -> None:
    """Of a large file of which something is there: only pieces that differ travel, and the whole is compared at the end."""
    if file.entry.size <= PIECE_BYTES or not (now["exists"] or now["part"]):
        return
    base = "part" if now["part"] else "file"
    there = destination.ask("pieces", path=file.place, base=base)[0]
    here = source.ask("pieces", path=file.path)[0]
    same = {number for number, (one, other) in enumerate(zip(here, there, strict=False)) if one == other}
    if not same:
        return
    file.base, file.digest = base, whole(here)
    file.spans = []
    for number in range(len(here)):
        if number in same:
            continue
        offset = number * PIECE_BYTES
        size = min(PIECE_BYTES, file.entry.size - offset)
        if file.spans and sum(file.spans[-1]) == offset:
            file.spans[-1] = (file.spans[-1][0], file.spans[-1][1] + size)
        else:
            file.spans.append((offset, size))
    file.spans = file.spans or [(0, 0)]  # all of it is there: it has only to take its place
