"""Runs both twins of a program in real kernels and compares what became of them.

One warm front-end kernel runs program after program, reset in between (`reset.py`); a difference is looked for once more
with a fresh kernel for each twin before it is told, and one that only a warm kernel shows is told as such.

What two plain runs under different hash seeds do not agree on is the mask: no difference is told there.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notebooks import Cell, CellTimeout, Notebook, without_colours
from places import define_target
from sandbox import Sandbox

from .compare import Difference, compare, count_items
from .program import as_text, marked_twin, plain_twin

HASH_SEED, OTHER_SEED = "0", "1"
CELL_S = 30.0
MOST_TOLD = 40
TESTS = Path(__file__).resolve().parent.parent
_FRAME = re.compile(r"Cell In\[(\d+)\], line (\d+)(?:, in ([^\n(]+))?")
REFUSALS = ("CannotTravel", "Refused")
Record = dict[str, Any]


class ProgramFailed(AssertionError):
    """The harness could not run a program to its end."""


class _Place(Sandbox):
    """A sandbox whose kernels, and theirs, hash strings alike and find this package."""

    def __init__(self, hash_seed: str) -> None:
        super().__init__()
        self._hash_seed = hash_seed
        profile = self.folder / "ipython" / "profile_default"
        profile.mkdir(parents=True)
        # Cell numbers begin anew with each program, which IPython's history database takes for an accident.
        (profile / "ipython_config.py").write_text("c.HistoryManager.enabled = False\n")
        # With each 65536th message jupyter_client's Session draws from `random` itself which of their signatures it forgets.
        (profile / "ipython_kernel_config.py").write_text("c.Session.digest_history_size = 0\n")

    def environment(self) -> dict[str, str]:
        paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONHASHSEED": self._hash_seed, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**super().environment(), **own}


Far = Callable[[Sandbox], Mapping[str, object]]
"""The keys of a target, where programs run elsewhere than on the local one."""


def define_default(place: _Place, keys: Mapping[str, object]) -> None:
    """A target for all cells, whose kernels find this package, too, and hash strings alike."""
    env = {**place.variables(), **keys["env"], "PYTHONHASHSEED": HASH_SEED, "PYTHONDONTWRITEBYTECODE": "1"}  # type: ignore[dict-item]
    env["PYTHONPATH"] = place.environment()["PYTHONPATH"]
    folder = place.jupyter_config / "farcell"
    folder.mkdir()
    (folder / "targets.toml").write_text('default = "far"\n')
    work = place.folder / "far-work"  # programs' files are removed with all else in it: never the account's home
    work.mkdir()
    define_target(place, "far", **{**keys, "env": env, "cwd": str(work)})


class Kernel:
    """A front end's kernel, with farcell and a remote kernel unless told otherwise, ready for programs; a context manager."""

    def __init__(
        self,
        hash_seed: str = HASH_SEED,
        with_farcell: bool = True,
        faults: Sequence[str] = (),
        far: Far | None = None,
        has_thread: bool = False,
    ) -> None:
        self.place = _Place(hash_seed)
        if far is not None:
            define_default(self.place, far(self.place))
        work = self.place.folder / "work"
        work.mkdir()
        self._numbers = itertools.count()
        self._with_farcell = with_farcell
        self.goes_on = False
        """Whether the last program has left something at work on the target, which the next one would see."""
        try:
            self.notebook = Notebook(self.place, cwd=work)
            if with_farcell:
                self._quietly("%load_ext farcell")
            if has_thread:
                self._quietly("__import__('threading').Thread(target=__import__('threading').Event().wait, daemon=True).start()")
            remember = f"__import__('transparency.reset').reset.remember({str(self.place.folder)!r})"
            self._quietly(remember)
            if with_farcell:
                self._remotely(remember)
            for fault in faults:
                planting = f"__import__('transparency.faults').faults.plant({fault!r})"
                self._remotely(planting)
                self._quietly(planting)
        except BaseException:
            self.close()
            raise
        self._ran_remotely = False

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.notebook.close()
        self.place.close()

    def _quietly(self, code: str) -> None:
        self.notebook.run(code, silent=True).check()

    def _remotely(self, code: str) -> None:
        self._quietly(f"__import__('farcell').connect().run({code!r})")

    def run(self, sources: Sequence[str], cell_s: float = CELL_S, watched: bool = False) -> Record:
        """One twin, from a clean kernel to the description of what it left; watched, also which cells set state of libraries."""
        path = self.place.folder / f"state-{next(self._numbers)}.json"
        reset = "__import__('transparency.reset').reset"
        notebook = self.notebook
        if self._ran_remotely:
            self._quietly(f"{reset}.notebook()")  # first: the remote kernel forgets names when it next hears of the notebook
            self._remotely(f"{reset}.remote()")
        libraries = "__import__('transparency.library_state').library_state"
        first = notebook.start(f"{reset}.notebook()" + f"; {libraries}.have_changed()" * watched, silent=True)
        cells, watches = [], []
        for source in sources:
            cells.append(notebook.start(source))
            if watched:
                watches.append(notebook.start(f"print({libraries}.have_changed())", silent=True))
        write = f"__import__('transparency.snapshot').snapshot.write({str(path)!r})"
        if self._with_farcell:
            write += "; print(any(each.is_touched for each in __import__('farcell.api').api.workspace().sessions.values()))"
        last = notebook.start(write, silent=True)
        try:
            first.finish(cell_s).check()
            ran = [running.finish(cell_s) for running in cells]
            changed = [running.finish(cell_s).check().stdout == "True\n" for running in watches]
            self.goes_on = last.finish(cell_s).check().stdout == "True\n"
        except CellTimeout as error:
            raise ProgramFailed(f"a cell did not end: {error}") from error
        self._ran_remotely = any(source.startswith("%%remote") for source in sources)
        state = path.read_text(encoding="utf-8", errors="surrogatepass")
        path.unlink()
        text = json.dumps([_record(cell) for cell in ran])
        # Each kernel has a folder of its own, which its twin cannot have.
        text, state = (each.replace(str(self.place.folder), "(sandbox)") for each in (text, state))
        return {"cells": json.loads(text), "state": json.loads(state), "set libraries": changed}


def _record(cell: Cell) -> dict[str, Any]:
    error = cell.error
    return {
        "status": cell.reply["status"],
        "error": [each.name for each in cell.errors],
        "message": [each.value for each in cell.errors],
        "frames": [tuple(map(_clean, frame)) for frame in _FRAME.findall(error.traceback)] if error else [],
        "traceback": without_colours(error.traceback) if error else "",
        "execution_count": cell.reply.get("execution_count"),
        "payload": cell.reply.get("payload", []),
        "outputs": list(_outputs(cell)),
    }


def _clean(text: str) -> str:
    return without_colours(text).strip()


def _outputs(cell: Cell) -> Iterator[dict[str, Any]]:
    """As the notebook shows them. Which of stdout and stderr comes first between two others is the flush timer's affair."""
    streams: dict[str, Any] = {}
    for output in cell.outputs:
        kind = output["output_type"]
        if kind == "stream":
            streams[output["name"]] = streams.get(output["name"], "") + output["text"]
            continue
        if streams:
            yield streams
            streams = {}
        if kind != "error":
            yield {"kind": kind, **output.get("data", {}), "metadata": output.get("metadata", {})}
    if streams:
        yield streams


@dataclass
class Verdict:
    """What is to be told of one program under one placement."""

    cells: tuple[str, ...]
    remote: frozenset[int]
    differences: list[Difference] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stayed: frozenset[str] = frozenset()
    """Names whose values cannot travel: refs to them are what is here."""
    items: int = 0
    masked: int = 0
    """Of the items, those that the mask hides."""
    warm_only: bool = False

    @property
    def is_same(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        where = "all cells" if len(self.remote) == len(self.cells) else f"cells {sorted(each + 1 for each in self.remote)}"
        head = f"{len(self.differences)} differences with {where} remote" + (", in a warm kernel only" * self.warm_only)
        told = [f"  {each}" for each in self.differences[:MOST_TOLD]]
        return "\n".join([head, *told, "", as_text(self.cells, self.remote)])


@dataclass
class Plain:
    """A plain twin's run, which serves for several placements in a row."""

    cells: tuple[str, ...]
    record: Record
    mask: set[str] | None = None
    set_libraries: frozenset[int] = frozenset()
    """Cells that changed state of modules of installed packages, known of a fresh kernel's."""


class Harness:
    """Compares programs; starts kernels when they are first needed. A context manager.

    The mask costs one more plain run a program: with `masks_all` each program's is known, otherwise that of those which differ.
    With `has_thread` a thread of the notebook's own waits beside all cells. It might change what they do, so that values are
    compared as they are here before a run is merged.
    """

    def __init__(
        self,
        faults: Sequence[str] = (),
        confirm: bool = True,
        most_confirmed: int = 1_000_000,
        masks_all: bool = False,
        far: Far | None = None,
        has_thread: bool = False,
    ) -> None:
        self._far, self._has_thread = far, has_thread
        self._faults, self._confirm, self._left_to_confirm = tuple(faults), confirm, most_confirmed
        self.masks_all = masks_all
        self._warm: Kernel | None = None
        self._seeded: Kernel | None = None
        self.programs = 0
        self._plain: Plain | None = None
        self._plain_fresh: Plain | None = None

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *exception: object) -> None:
        for kernel in (self._warm, self._seeded):
            if kernel is not None:
                kernel.close()
        self._warm = self._seeded = None

    @property
    def warm(self) -> Kernel:
        if self._warm is None:
            self._warm = Kernel(faults=self._faults, far=self._far, has_thread=self._has_thread)
        return self._warm

    def discard(self) -> None:
        """A kernel that did not survive its program, or may not have."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None

    def check(
        self,
        cells: Iterable[str],
        remote: Iterable[int],
        own: Iterable[str] = (),
        refuses: str | None = None,
        confirm: bool | None = None,
    ) -> Verdict:
        """Runs the plain twin (once for several placements in a row) and the marked one."""
        cells, remote, own = tuple(cells), frozenset(remote), frozenset(own)
        self.programs += 1
        try:
            if self._plain is None or self._plain.cells != cells:
                self._plain = Plain(cells, self.warm.run(plain_twin(cells)))
            marked = self.warm.run(marked_twin(cells, remote))
            if self.warm.goes_on:
                self.discard()
        except (ProgramFailed, AssertionError) as error:
            self.discard()
            self._plain = None
            return Verdict(cells, remote, [Difference("the program", "runs to its end", str(error)[-2000:])])
        verdict = self._judge(self._plain, remote, marked, own, refuses)
        if verdict.differences or self.masks_all:
            self._hide(verdict, self._mask(self._plain, own), own)
        if verdict.is_same or not (self._confirm if confirm is None else confirm) or self._left_to_confirm <= 0:
            return verdict
        self._left_to_confirm -= 1
        fresh = self.check_fresh(cells, remote, own, refuses)
        if fresh.is_same:
            verdict.warm_only = True
            self.discard()  # what one program left behind shall not fail those after it
            return verdict
        return fresh

    def check_fresh(
        self,
        cells: Iterable[str],
        remote: Iterable[int],
        own: Iterable[str] = (),
        refuses: str | None = None,
        cell_s: float = CELL_S,
        may_stay: bool = False,
    ) -> Verdict:
        """The same with kernels that have run nothing else, and no farcell in the plain twin's.

        With `may_stay` names are left out whose values cannot travel, and stay on the target by design.
        """
        cells, remote, own = tuple(cells), frozenset(remote), frozenset(own)
        plain = self.plain_fresh(cells, own, cell_s)
        with Kernel(faults=self._faults, far=self._far, has_thread=self._has_thread) as kernel:
            marked = kernel.run(marked_twin(cells, remote), cell_s)
        stayed = _stayed(marked) if may_stay else frozenset()
        verdict = self._judge(plain, remote, marked, own, refuses, stayed)
        verdict.stayed = stayed
        assert plain.mask is not None
        self._hide(verdict, plain.mask, own)
        return verdict

    def plain_fresh(self, cells: tuple[str, ...], own: frozenset[str] = frozenset(), cell_s: float = CELL_S) -> Plain:
        if self._plain_fresh is None or self._plain_fresh.cells != cells:
            first, other = (_run_fresh(cells, seed, cell_s) for seed in (HASH_SEED, OTHER_SEED))
            self._plain_fresh = Plain(cells, first, _disagreed(first, other, own), _set_positions(other))
        return self._plain_fresh

    def _judge(
        self,
        twin: Plain,
        remote: frozenset[int],
        marked: Record,
        own: frozenset[str],
        refuses: str | None,
        stayed: frozenset[str] = frozenset(),
    ) -> Verdict:
        plain = twin.record
        verdict = Verdict(twin.cells, remote, items=count_items(plain))
        for index, cell in enumerate(marked["cells"]):
            if index in remote and any(name in REFUSALS for name in cell["error"]):
                verdict.refused.append(f"cell {index + 1}: {' '.join(cell['message'])}")
        if refuses is not None and any(refuses in text for text in verdict.refused):
            # From the refused cell on the two are different programs.
            first = next(i for i, cell in enumerate(marked["cells"]) if any(refuses in text for text in cell["message"]))
            plain = {"cells": plain["cells"][:first], "state": None}
            marked = {"cells": marked["cells"][:first], "state": None}
        found = compare(plain, marked, own, stayed)
        verdict.differences = [each for each in found if not _is_own(each.path, own | stayed)]
        return verdict

    # -- the mask ----------------------------------------------------------------------------------------------------

    def _mask(self, plain: Plain, own: frozenset[str]) -> set[str]:
        if plain.mask is None:
            if self._seeded is None:
                self._seeded = Kernel(OTHER_SEED, with_farcell=False)
            try:
                plain.mask = _disagreed(plain.record, self._seeded.run(plain_twin(plain.cells)), own)
            except (ProgramFailed, AssertionError):
                self._seeded.close()
                self._seeded = None
                plain.mask = set()
        return plain.mask

    def _hide(self, verdict: Verdict, mask: set[str], own: frozenset[str]) -> None:
        verdict.differences = [each for each in verdict.differences if each.path not in mask]
        verdict.masked = sum(not _is_own(path, own) for path in mask)


def _run_fresh(cells: Sequence[str], hash_seed: str, cell_s: float) -> Record:
    with Kernel(hash_seed, with_farcell=False) as kernel:
        return kernel.run(plain_twin(cells), cell_s, watched=hash_seed == OTHER_SEED)


def _stayed(record: Record) -> frozenset[str]:
    """The description of a ref says that it could not be fetched."""
    objects = record["state"]["objects"]
    names = record["state"]["names"].items()
    return frozenset(name for name, value in names if len(value) == 1 and objects[value[0]]["is"] == "farcell.refs.Ref")


def _set_positions(record: Record) -> frozenset[int]:
    return frozenset(index for index, changed in enumerate(record["set libraries"]) if changed)


def _disagreed(one: Record, other: Record, own: frozenset[str]) -> set[str]:
    """The mask: paths of what two plain runs with different hash seeds do not agree on."""
    return {each.path for each in compare(one, other, own) if not _is_of_process(each.path)}


def _is_of_process(path: str) -> bool:
    """The two kernels of the mask differ in their folders and environment, which a twin's two runs do not."""
    return path.startswith(("ambient: cwd", "ambient: os.environ"))


def _is_own(path: str, own: frozenset[str]) -> bool:
    """`own` may name a place of the comparison too: "cell 2 output", "ambient: random", "Out"."""
    return any(path == name or path.startswith((f"{name} ", f"{name}[", f"{name}.")) for name in own)
