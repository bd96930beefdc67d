"""A merge changes everything or nothing, wherever in it something fails."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import farcell_host.state
import pytest
from farcell_host.state import delta as deltas

# Their last lines put something back: what fails there cannot be taken back.
LEFT_ALONE = ("carry_out", "interrupts_deferred", "fill_array", "_handing_out", "_travelling")
OURS = str(Path(farcell_host.state.__file__).parent)

KINDS = {
    "list": ("x = [1, [2]]", "x[1].append(3); x.append(x); del x[0]"),
    "list with attributes": ("class L(list): pass\nx = L([1]); x.tag = 'a'", "x.append(2); x.tag = 'b'; x.new = 1"),
    "dict": ("x = {'a': 1, 'b': [2]}", "x['c'] = x.pop('a'); x['b'].append(1)"),
    "defaultdict": ("import collections\nx = collections.defaultdict(list, a=[1])", "x['b'].append(1); x.default_factory = set"),
    "OrderedDict": ("import collections\nx = collections.OrderedDict(a=1, b=2)", "x.move_to_end('a'); x['c'] = 3"),
    "set": ("x = {1, 2}", "x.add(3); x.discard(1)"),
    "deque": ("import collections\nx = collections.deque([1, 2], 3)", "x.append(3); x.append(4)"),
    "bytearray": ("x = bytearray(b'abc')", "x[0:1] = b'xyz'"),
    "cell": (
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    return up\nx = make()",
        "x(); x()",
    ),
    "function": ("def x(a, b=[1], *, c=2): return a", "x.tag = [1]; x.__defaults__[0].append(2); x.__kwdefaults__ = {'c': 3}"),
    "lru": ("import functools\n@functools.lru_cache(8)\ndef x(a): return [a]\nx(1)", "x(2); x(1); x.tag = 1"),
    "weak": (
        "import weakref\nclass K: pass\none, two = K(), K()\nx = weakref.WeakValueDictionary(a=one)\nkeep = [one, two]",
        "x['b'] = keep[1]; del x['a']",
    ),
    "exception": ("x = ValueError('a', [1])", "x.args[1].append(2); x.args = ('b', x.args[1]); x.note = 'n'"),
    "class": (
        "class x:\n    'First, as it stays where it is.'\n    n = 0\n    def f(self): return 1",
        "x.n += 1; x.new = [1]; del x.f",
    ),
    "object": (
        "class K:\n    pass\nclass L(K): pass\nx = K(); x.a = [1]; x.b = 2",
        "x.a.append(2); x.c = 3; del x.b; x.__class__ = L",
    ),
    "slots": ("class K:\n    __slots__ = ('a', 'b')\nx = K(); x.a = 1", "x.b = x.a; del x.a"),
    "stateful": (
        "class K:\n    def __init__(self): self.a, self.b = [1], 0\n"
        "    def __getstate__(self): return {'a': self.a, 'b': self.b}\n"
        "    def __setstate__(self, state):\n        self.a = state['a']\n        self.b = state['b']\nx = K()",
        "x.a.append(1); x.b = 2",
    ),
    "array": ("import numpy\nx = numpy.arange(4.0)", "x[1] = 9; x.resize((2, 2), refcheck=False); x.flags.writeable = False"),
    "large array": ("import numpy\nx = numpy.zeros(20_000)", "x[1] = 9; x[19_999] = 1"),
    "objects": ("import numpy\nx = numpy.array([None, 'a', 1], dtype=object)", "x[0] = [1]"),
    "frame": (
        "import pandas\nx = pandas.DataFrame({'a': [1, 2], 'b': ['p', 'q']}); x.attrs['k'] = 1",
        "x.loc[0, 'a'] = 5; x['c'] = 1.5; x.attrs['k'] = 2; x.columns.name = 'n'",
    ),
    "series": ("import pandas\nx = pandas.Series([1, 2, 3], name='s')", "x.iloc[0] = 5; x.name = 't'; x.index = list('abc')"),
    "generator of numbers": ("import numpy\nx = numpy.random.default_rng(1)", "x.random(3)"),
    "random": ("import random\nx = random.Random(1)", "x.random()"),
}


def brought_back(pair: Any, make: str, change: str) -> Any:
    pair.cell(make + "\nold = 1; gone = 2")
    names = [name for name in pair.here if not name.startswith("__") and not isinstance(pair.here[name], type(sys))]
    pair.ship(*names)
    pair.remote_exec(change + "\nold = [1]; del gone; new = x")
    there = [name for name in pair.there if not name.startswith("__")]
    payload = pair.remote.pack(pair.remote.collect([*there, "gone"], limit_bytes=1000))
    return pair.local.unpack(payload)


def looks(pair: Any) -> Any:
    """Everything that a fingerprint sees, and what the names are bound to."""
    names = [name for name in pair.here if not name.startswith("__") and not isinstance(pair.here[name], type(sys))]
    capture = pair.local.capture(names)
    bindings = {name: id(value) for name, value in pair.here.items() if name != "__builtins__"}
    return bindings, {name: (part.print, part.data) for name, part in capture.parts.items()}


@pytest.mark.parametrize("make, change", KINDS.values(), ids=KINDS)
def test_a_failing_merge_changes_nothing(make_pair, make, change):
    """Whatever line of a merge fails, every object and name is as it was before; the merge itself then succeeds."""
    pair = make_pair()
    delta = brought_back(pair, make, change)
    before = looks(pair)
    bindings = {name: value for name, value in delta.values.items() if name.isidentifier()}
    bindings.update({name: pair.local._ledger.resolve(number) for name, number in delta.bind.items()})
    lines = 0
    while fails_at(lines, pair, delta, bindings):
        assert looks(pair) == before, f"after a failure at line {lines} of the merge"
        lines += 1
    assert lines > 5
    assert looks(pair) != before


def fails_at(position: int, pair: Any, delta: Any, bindings: dict[str, Any]) -> bool:
    """Carries the merge out, with an exception at that line of it; False when it has no so many lines."""
    left = position + 1

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise MemoryError("injected")
        return on_line

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        is_part = code.co_filename.startswith(OURS) and code.co_name not in LEFT_ALONE
        caller = frame.f_back
        while caller is not None and caller.f_code.co_name != "fill_array":
            caller = caller.f_back
        return on_line if is_part and left > 0 and caller is None else None

    steps = deltas.merge_steps(delta, pair.local.places, bindings)
    with farcell_host.state.replica.context.working(pair.local._ledger):
        before = sys.gettrace()
        sys.settrace(on_call)
        try:
            deltas.carry_out(steps, deltas.fill_steps(delta))
        except MemoryError:
            return True
        finally:
            sys.settrace(before)
    return False
