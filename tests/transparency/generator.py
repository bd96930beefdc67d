"""Writes notebooks nobody would think of: names, what shares what, functions, classes, loops, errors, in random order.

Templates say what they need and make: `{list}` is a name that holds a list by now, `{=list}` a name that holds one
afterwards, `{n}` a small number. So programs are mostly valid; an error is fine too, both twins must err alike.
The same writer serves Hypothesis, which shrinks what fails, and a seed, which costs nothing.
"""

# ruff: noqa: E501 - templates are read by the line, as the cells they become
from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Pick = Callable[[Sequence[Any]], Any]
NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")

MAKE = (
    "{=list} = [{n}, {n}]", "{=list} = [[{n}], [{n}]]", "{=list} = [{any}, {n}]", "{=list} = [{list}] * 2",
    "{=list} = list(range({n}))", "{=list} = [i * {n} for i in range(3)]", "{=list} = {list}[:2]", "{=list} = [*{list}]",
    "{=dict} = {{'k': {n}}}", "{=dict} = {{'k': {any}, 'm': {any}}}", "{=dict} = dict.fromkeys('xyz', {n})",
    "{=dict} = {{i: i * i for i in range({n})}}", "{=dict} = dict({dict})", "{=set} = {{{n}, {n}, 10}}", "{=set} = set('word')",
    "{=tuple} = ({any}, {n})", "{=tuple} = ({list}, {list})", "{=int} = {n}", "{=int} = 1", "{=str} = 'text'", "{=tuple} = (1, 2)", "{=int} = len({list})", "{=str} = 'text' * {n}",
    "{=array} = np.arange({n} + 4)", "{=array} = {array}[1:]", "{=array} = {array}.reshape(-1, 1)[:, 0]",
    "{=array} = np.zeros((2, 3))[{n} % 2]", "{=array} = {array}[::2]", "{=array} = {array} + 1", "{=array} = {array}.copy()",
    "{=any} = {any}", "{=list} = {list}", "{=dict} = {dict}", "{=array} = {array}", "{=instance} = {instance}",
    "{=func} = {func}", "{=class} = {class}", "{=list} = {=list} = [{n}]",
    "{=deque} = collections.deque([{n}, {n}], maxlen=4)", "{=dict} = collections.defaultdict(list, k=[{n}])",
    "{=dict} = collections.OrderedDict(p={n}, q={any})", "{=bytes} = bytearray(b'data')",
    "{=array} = np.arange(200_000.0)",
)  # fmt: skip
CHANGE = (
    "{list}.append({n})", "{list}.append({any})", "{list}.insert(0, {n})", "{list}.pop()", "{list}.reverse()", "{list}.clear()",
    "{list}[0] = {any}", "{list} += [{n}]", "{list} *= 2", "{list}[1:] = [{n}, {n}]", "del {list}[0]", "{list}.sort(key=str)",
    "{dict}['k'] = {any}", "{dict}['new'] = {n}", "{dict}.pop('k', None)", "{dict}.update(z={n})", "{dict}.clear()",
    "{dict}.setdefault('s', []).append({n})", "{dict} |= {{'w': {n}}}", "{dict}['k'] = {dict}.pop('k', 0)", "{dict}['self'] = {dict}",
    "{set}.add({n})", "{set}.discard(10)", "{set}.pop()", "{set} -= {{10, 'w'}}", "{set} |= {{20, {n}}}", "{int} += {n}", "{str} += 'x'", "{tuple} += ({n},)",
    "{array}[0] = {n}", "{array} += 1", "{array}[:2] *= 3", "{array}[-1:] = {n}", "{array}.sort()", "{array}.flags.writeable = False",
    "{deque}.append({n})", "{deque}.rotate(1)", "{bytes}.extend(b'{n}')", "{bytes}[0] = 65",
    "{instance}.x = {any}", "{instance}.y = {n}", "{instance}.items.append({n})", "{instance}.grow({n})", "{class}.shared.append({n})",
    "{class}.level = {n}", "del {instance}.x", "{class}.extra = lambda self: {n}", "{func}.note = {n}", "{func}.__defaults__ = ({n},)",
    "{list}.append({func})", "{dict}['f'] = {func}", "{list}.append({instance})", "{counter}()", "{counter}()", "{pair}[0]({n})",
    "del {any!}", "{list}[0], {list}[-1] = {list}[-1], {list}[0]", "{array}[0], {array}[1] = {array}[1], {array}[0]",
)  # fmt: skip
DEFINE = (
    "def {=func}(v={n}):\n    return v + {n}",
    "def {=func}(v=0, *, into={list}):\n    into.append(v)\n    return len(into)",
    "def {=func}(v=1, kept=[]):\n    kept.append(v)\n    return list(kept)",
    "def {=func}(v=1):\n    global {int}\n    {int} += v\n    return {int}",
    "def {=func}(v=2):\n    {list}.append(v)\n    return {list}[-1]",
    "def {=func}(v=3):\n    return {func}() if v < 0 else v * {n}",
    "{=func} = lambda v={n}: (v, {n})",
    "def outer():\n    count = {n}\n    def step():\n        nonlocal count\n        count += 1\n        return count\n    return step\n"
    "{=counter} = outer()",
    "def both():\n    held = [{n}]\n    def put(v):\n        held.append(v)\n    def get():\n        return held\n    return put, get\n"
    "{=pair} = both()",
    "def deep(total={n}):\n    def change(v=1):\n        nonlocal total\n        total += v\n        return total\n"
    "    return change, lambda: total\n{=pair} = deep()",
    "class {=class}:\n    '''A class.'''\n    shared = [{n}]\n    level = {n}\n    def __init__(self, x={n}):\n        self.x = x\n"
    "        self.items = []\n    def grow(self, by):\n        self.x = by\n        self.items.append(by)\n        return self",
    "class {=class}({class}):\n    level = {n}\n    def grow(self, by):\n        super().grow(by + 1)\n        type(self).shared.append(by)\n"
    "        return self",
    "class {=class}({class}):\n    @property\n    def double(self):\n        return self.x * 2\n    @classmethod\n"
    "    def bump(cls):\n        cls.level += 1",
    "import functools\n@functools.lru_cache\ndef {=func}(v={n}):\n    return v * v",
    "import dataclasses\n@dataclasses.dataclass\nclass {=class}:\n    x: int = {n}\n    items: list = dataclasses.field(default_factory=list)\n"
    "    shared = [{n}]\n    def grow(self, by):\n        self.items += [by]",
    "{=instance} = {class}({n})", "{=instance} = {class}({n})", "{=instance} = {class}({n}); {=list} = {instance}.items",
    "{=func} = {instance}.grow", "{=list} = [{instance}, {instance}]", "import math as {=module}",
)  # fmt: skip
FLOW = (
    "for i in range({n}):\n    {list}.append(i)", "for i, each in enumerate({list}):\n    print(i, type(each).__name__)",
    "for key in list({dict}):\n    {dict}[key] = {n}", "for i in range({n}):\n    if i > 2:\n        break\n    {list}.append(i)\nelse:\n    print('all')",
    "try:\n    {list}[99]\nexcept IndexError as error:\n    print('caught', error)\nfinally:\n    {list}.append('finally')",
    "try:\n    {any}.missing\nexcept AttributeError as error:\n    {=list} = [type(error).__name__]",
    "if {int} > 2:\n    {=str} = 'large'\nelse:\n    {=str} = 'small'", "with contextlib.suppress(KeyError):\n    {dict}['absent']",
    "{list}.append({n})\nraise ValueError('stop', {n})", "{list}.append(1 / 0)", "{dict}['k'] = {n}; {any!}.nothing",
    "[{list}.append(k) for k in range(2)]", "if (size := len({list})) > 1:\n    print(size)", "{func}()", "{func}({n})",
    "def fail(v):\n    raise KeyError(v)\nfail({n})", "assert {int} < 0, 'too large'",
)  # fmt: skip
SHOW = (
    "{any}", "{list}", "{dict}", "print({any})", "print({list}, {dict})", "len({list})", "{func}()", "{counter}()", "{pair}[1]()",
    "{instance}.x", "{instance}.items", "{class}.level", "{array}", "{array}.sum()", "sorted({set}, key=str)", "{list} is {list}",
    "{any} is {any}", "{dict}.get('k')", "'{any}' in globals()", "print('to stderr', file=sys.stderr)", "_", "type({any}).__name__",
    "{array}.base is None", "np.shares_memory({array}, {array})", "{str!r}", "{int} + {int}", "{instance}.grow({n}) is {instance}",
)  # fmt: skip
GROUPS = (MAKE, MAKE, CHANGE, CHANGE, CHANGE, DEFINE, FLOW)
FIRST = "import sys, contextlib, collections\nimport numpy as np"
_FIELD = re.compile(r"\{(=?)([a-z]+)(!r|!)?\}")
KINDS = sorted({kind for template in (*MAKE, *DEFINE) for is_new, kind, _ in _FIELD.findall(template) if is_new})
# By kind, what makes one: all kinds are made alike.
MAKING = {kind: tuple(each for each in (*MAKE, *DEFINE) if f"{{={kind}}}" in each) for kind in KINDS}
# By kind, what uses a name of that kind: all kinds that a program holds are used alike, however few templates are for one.
USING = {kind: tuple(each for each in (*CHANGE, *FLOW, *SHOW) if f"{{{kind}}}" in each) or SHOW for kind in KINDS}


@dataclass(frozen=True)
class Program:
    cells: tuple[str, ...]
    remote: frozenset[int]


class _Writer:
    """`kinds[name]` is what a name holds by now."""

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.kinds: dict[str, str] = {}

    def statement(self, templates: Sequence[str]) -> str:
        for _ in range(4):
            text = self.fill(self.pick(templates))
            if text is not None:
                return text
        return self.fill(self.pick(MAKE[:2])) or "pass"

    def group(self) -> Sequence[str]:
        """What the next statement is to be one of."""
        held = sorted(set(self.kinds.values()))
        if held and self.pick((True, False, False)):
            return USING[self.pick(held)]
        chosen: Sequence[str] = self.pick(GROUPS)
        return MAKING[self.pick(KINDS)] if chosen is MAKE else chosen

    def fill(self, template: str) -> str | None:
        """The template with names for its fields; None when it needs what there is not."""
        held, made = dict(self.kinds), {}
        # Doubled braces are literal ones, as in str.format.
        text = template.replace("{{{", "\1{").replace("}}}", "}\2").replace("{{", "\1").replace("}}", "\2")
        for field in _FIELD.findall(text):
            is_new, kind, _ = field
            if not is_new and kind != "n" and not self._names(kind):
                return None

        def put(match: re.Match[str]) -> str:
            is_new, kind, mark = match.groups()
            if kind == "n":
                return str(self.pick(range(1, 7)))
            if is_new:
                name = self.pick(NAMES)
                made[name] = "list" if kind == "any" else kind
                return name
            if kind == "any" and mark == "!":
                return self.pick(NAMES)  # perhaps not there
            return self.pick(self._names(kind))

        text = _FIELD.sub(put, text)
        self.kinds = held
        copied = re.fullmatch(r"(\w) = (\w)", text)
        if copied and copied[2] in held:
            made[copied[1]] = held[copied[2]]
        self.kinds.update(made)
        gone = re.fullmatch(r"del (\w)", text)
        if gone:
            self.kinds.pop(gone[1], None)
        return text.replace("\1", "{").replace("\2", "}")

    def _names(self, kind: str) -> list[str]:
        return sorted(name for name, held in self.kinds.items() if kind in ("any", held))


def write(pick: Pick) -> Program:
    """A program and which of its cells are remote, by anything that picks."""
    writer = _Writer(pick)
    cells = [FIRST]
    for _ in range(pick(range(2, 6))):
        lines = [writer.statement(writer.group()) for _ in range(pick(range(1, 5)))]
        if pick((True, True, False)):
            lines.append(writer.statement(SHOW))
        cells.append("\n".join(lines))
    remote = frozenset(index for index in range(len(cells)) if pick((True, False)))
    return Program(tuple(cells), remote or frozenset(range(len(cells))))


def seeded(seed: int) -> Program:
    return write(random.Random(seed).choice)


@st.composite
def programs(draw: Any) -> Program:
    return write(lambda choices: draw(st.sampled_from(list(choices))))
