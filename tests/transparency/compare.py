"""What differs between two records of one program, with paths that a person can read.

names: b is a.x[0] in the plain notebook, an object of its own in the marked one
cell 3 stdout: '1\\n' / '2\\n'
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .program import COMMENT, MAGIC

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_CLOCK = re.compile(r"((?:Wall time|CPU times?|user|sys|total|real)\s*:?\s*)[\d.]+ *(?:ns|[µmu]s|s|min|h)\b")
_FILE_OF_CELL = re.compile(r"\b\d{5,}\.py\b")  # named after the cell's text, whose first line is ours
_TIMEIT = re.compile(r"^.* per loop \(mean ± std\. dev\..*$", re.MULTILINE)


_NONE = "NoneType None"


@dataclass(frozen=True)
class Difference:
    path: str
    """Where: also what the mask goes by."""
    plain: str
    marked: str

    def __str__(self) -> str:
        return f"{self.path}: {self.plain}  /  {self.marked}"


def without_own(text: str) -> str:
    """Addresses and clocks are the target's own on purpose."""
    text = _FILE_OF_CELL.sub("(cell).py", text)
    return _TIMEIT.sub("(timeit)", _CLOCK.sub(r"\1(time)", _ADDRESS.sub("0x(address)", text)))


def as_typed(text: str) -> str:
    """A cell's text, the first line as the plain twin has it."""
    text = text.rstrip("\n")
    if text == MAGIC:
        return COMMENT
    if text.startswith("%%local\n"):
        return text.replace("%%local", COMMENT, 1)
    if text.startswith(f"{MAGIC}\n"):
        rest = text[len(MAGIC) + 1 :]
        return rest if rest.lstrip().startswith("%%") else f"{COMMENT}\n{rest}"
    return text


def compare(
    plain: dict[str, Any], marked: dict[str, Any], own: Iterable[str] = (), stayed: frozenset[str] = frozenset()
) -> list[Difference]:
    """`stayed` are names that are left out since their values are on the target: what only they hold lives there alone."""
    found: list[Difference] = []
    for number, (ours, theirs) in enumerate(zip(plain["cells"], marked["cells"], strict=True), 1):
        _compare_cell(f"cell {number}", ours, theirs, found)
    if plain["state"] is not None and marked["state"] is not None:
        _compare_state(plain["state"], marked["state"], frozenset(own), stayed, found)
    return found


def _compare_cell(where: str, plain: dict[str, Any], marked: dict[str, Any], found: list[Difference]) -> None:
    for part in ("status", "error", "message", "execution_count", "payload"):
        _compare_plain(f"{where} {part}", plain[part], marked[part], found)
    if plain["frames"] != marked["frames"]:
        found.append(Difference(f"{where} frames", str(plain["frames"]), str(marked["frames"])))
    else:
        _compare_plain(
            f"{where} traceback", *(each["traceback"].replace(f"# {MAGIC}", COMMENT) for each in (plain, marked)), found
        )
    ours, theirs = plain["outputs"], marked["outputs"]
    for index in range(max(len(ours), len(theirs))):
        one, other = (each[index] if index < len(each) else {} for each in (ours, theirs))
        for key in sorted({*one, *other}):
            _compare_plain(f"{where} output {index} {key}", one.get(key), other.get(key), found)


def _compare_plain(path: str, plain: Any, marked: Any, found: list[Difference]) -> None:
    ours, theirs = without_own(repr(plain)), without_own(repr(marked))
    if ours != theirs:
        found.append(Difference(path, *_around(ours, theirs)))


def _around(one: str, other: str, most: int = 300) -> tuple[str, str]:
    """The part of two long texts where they begin to differ."""
    if max(len(one), len(other)) <= most:
        return one, other
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, start - 60)
    return f"...{one[start : start + most]}", f"...{other[start : start + most]}"


def _compare_state(
    plain: dict[str, Any], marked: dict[str, Any], own: frozenset[str], stayed: frozenset[str], found: list[Difference]
) -> None:
    _Graphs(plain, marked, own | stayed, found, may_be_dead=bool(stayed)).compare()
    for number, (ours, theirs) in enumerate(zip(plain["In"], marked["In"], strict=False), 1):
        _compare_plain(f"In[{number}]", as_typed(ours), as_typed(theirs), found)
    _compare_plain("len(In)", len(plain["In"]), len(marked["In"]), found)
    _compare_plain("execution_count", plain["execution_count"], marked["execution_count"], found)
    for name in sorted(plain["ambient"].keys() & marked["ambient"].keys() - own):
        _compare_plain(f"ambient: {name}", plain["ambient"][name], marked["ambient"][name], found)


class _Graphs:
    """Two object graphs side by side: each object of one must meet the same object of the other wherever it is met."""

    def __init__(
        self,
        plain: dict[str, Any],
        marked: dict[str, Any],
        own: frozenset[str],
        found: list[Difference],
        may_be_dead: bool = False,
    ) -> None:
        """`may_be_dead`: what only weak references lead to may be held by names that are left out, and be gone in the other."""
        self.plain, self.marked, self.own, self.found = plain, marked, own, found
        self.may_be_dead = may_be_dead
        self.dead: list[tuple[str, int]] = []
        self.there: dict[int, int] = {}
        self.here: dict[int, int] = {}
        self.met_plain: dict[int, str] = {}
        self.met_marked: dict[int, str] = {}
        self.waiting: list[tuple[str, int, int]] = []
        self.compared = 0

    def compare(self) -> None:
        if not self.own and all(self.plain[key] == self.marked[key] for key in ("names", "Out", "objects", "memory")):
            return
        for part in ("names", "Out"):
            ours, theirs = self.plain[part], self.marked[part]
            for name in sorted({*ours, *theirs} - self.own, key=lambda name: (len(name), name) if part == "Out" else (0, name)):
                path = name if part == "names" else f"Out[{name}]" if name.isdigit() else name
                self._value(path, ours.get(name, "(no such name)"), theirs.get(name, "(no such name)"))
                self._finish()
        self.found += [
            Difference(path, self._told([number], self.plain), _NONE) for path, number in self.dead if number in self.there
        ]
        self._memory()

    def _finish(self) -> None:
        while self.waiting:
            path, here, there = self.waiting.pop(0)
            self._object(path, self.plain["objects"][here], self.marked["objects"][there])

    def _value(self, path: str, plain: Any, marked: Any) -> None:
        if self.may_be_dead and path.endswith(" ()") and _is_number(plain) and marked == _NONE:
            self.dead.append((path, plain[0]))
        elif _is_number(plain) and _is_number(marked):
            self._identity(path, plain[0], marked[0])
        elif isinstance(plain, list) and isinstance(marked, list) and plain[:1] == marked[:1] and len(plain) == len(marked):
            if plain[0] == "code":
                self._parts(f"{path}.code", plain[1], marked[1])
            else:
                for index, (ours, theirs) in enumerate(zip(plain[1:], marked[1:], strict=True)):
                    self._value(f"{path}({index})", ours, theirs)
        else:
            _compare_plain(path, self._told(plain, self.plain), self._told(marked, self.marked), self.found)

    @staticmethod
    def _told(value: Any, state: dict[str, Any]) -> Any:
        if not _is_number(value):
            return value
        entry = state["objects"][value[0]]
        parts = [f"{label} {part}" for label, part in entry.get("parts", ())[:6] if isinstance(part, str)]
        return f"{entry['is']} object {', '.join(parts)}"

    def _identity(self, path: str, here: int, there: int) -> None:
        known, other = self.there.get(here), self.here.get(there)
        if known is None and other is None:
            self.there[here], self.here[there] = there, here
            self.met_plain[here] = self.met_marked[there] = path
            self.waiting.append((path, here, there))
        elif known != there or other != here:
            ours = f"is {self.met_plain[here]}" if here in self.met_plain else "an object of its own"
            theirs = f"is {self.met_marked[there]}" if there in self.met_marked else "an object of its own"
            self.found.append(Difference(f"{path} (identity)", ours, theirs))
            self.met_plain.setdefault(here, path)
            self.met_marked.setdefault(there, path)
            if known is None or other is None:
                self.waiting.append((path, here, there))
                self.there.setdefault(here, there)
                self.here.setdefault(there, here)

    def _object(self, path: str, plain: dict[str, Any], marked: dict[str, Any]) -> None:
        self.compared += 1
        if plain["is"] != marked["is"]:
            self.found.append(Difference(f"{path} (type)", plain["is"], marked["is"]))
            return
        self._parts(path, plain.get("parts", []), marked.get("parts", []))

    def _parts(self, path: str, plain: list[list[Any]], marked: list[list[Any]]) -> None:
        ours, theirs = (dict(parts) for parts in (plain, marked))
        if [label for label, _ in plain] != [label for label, _ in marked] and set(ours) == set(theirs):
            self.found.append(Difference(f"{path} (order)", str([*ours]), str([*theirs])))
        for label in [*ours, *(label for label in theirs if label not in ours)]:
            inner = f"{path}{label}" if label[:1] in ".[" else f"{path} {label}"
            self._value(inner, ours.get(label, "(nothing)"), theirs.get(label, "(nothing)"))

    def _memory(self) -> None:
        """Groups of arrays by the first plain path of each, those that only `own` names reach left out."""
        kept, other = self._groups(self.plain["memory"], self.met_plain), self._groups(self.marked["memory"], self.met_marked)
        for group in kept:
            if group not in other:
                self.found.append(Difference(f"memory of {group[0][0]}", f"shared: {group}", "shared otherwise"))
        for group in other:
            if group not in kept:
                self.found.append(Difference(f"memory of {group[0][0]}", "shared otherwise", f"shared: {group}"))

    @staticmethod
    def _groups(memory: list[Any], met: dict[int, str]) -> list[list[tuple[str, int]]]:
        """Of those that were met, with their distances from the first of them."""
        groups = []
        for group in memory:
            members = [(met[number[0]], offset) for number, offset in group if number[0] in met]
            first = min((offset for _, offset in members), default=0)
            if len(members) > 1:
                groups.append(sorted(((path, offset - first) for path, offset in members), key=str))
        return groups


def _is_number(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], int)


def count_items(record: dict[str, Any]) -> int:
    """How many things a comparison of this record looks at."""
    cells = sum(5 + sum(len(output) for output in cell["outputs"]) for cell in record["cells"])
    state = record["state"]
    if state is None:
        return cells
    parts = sum(1 + len(entry.get("parts", ())) for entry in state["objects"])
    return cells + parts + len(state["names"]) + len(state["Out"]) + len(state["In"]) + len(state["ambient"])
