# ruff: noqa: E501 - a cell reads best on one line
"""Definitions as notebooks have them; each defines `f`, and `f(3)` must give the same on both sides. Runs as a script too.

As a script it is one end of an exchange between two Python versions: `make` prints payloads, `load` reads them, applies
them in a fresh namespace and prints what `f(3)` gives.
"""

from __future__ import annotations

import base64
import builtins
import json
import linecache
import sys
import types

CASES = {
    "plain": "def f(x): return x + 1",
    "loop": "def f(x):\n    s = 0\n    for i in range(x): s += i\n    return s",
    "closure": "def mk(k):\n    def f(x): return x + k\n    return f\nf = mk(10)",
    "nonlocal": "def mk():\n    n = 0\n    def f(x):\n        nonlocal n\n        n += x\n        return n\n    return f\nf = mk()",
    "cached_property": (
        "import functools\nclass C:\n    n = 0\n    @functools.cached_property\n    def big(self):\n        'Large.'\n        C.n += 1\n"
        "        return [C.n]\nc = C(); c.big\n"
        "def f(x):\n    d = C()\n    return c.big, d.big is d.big, C.n, C.big.__doc__, C.big.attrname, list(vars(C))[1:3]"
    ),
    "TypedDict": (
        "from typing import TypedDict\nclass Base(TypedDict):\n    name: str\nclass Movie(Base, total=False):\n    year: int\n"
        "def f(x):\n    keys = Movie.__required_keys__, Movie.__optional_keys__, Movie.__total__, Base.__total__\n"
        "    return [sorted(each) if isinstance(each, frozenset) else each for each in keys], Movie.__annotations__, Movie(name='M')"
    ),
    "recursive closure": "def mk():\n    def f(x): return 1 if x < 2 else x * f(x - 1)\n    return f\nf = mk()",
    "lambda": "f = lambda x: x * 2",
    "lambdas on a line": "f = [lambda x: x + 1, lambda x: x + 100][1]",
    "lambdas in comprehensions": (
        "fs = [lambda x, i=i: x + i for i in range(3)]; gs = [(lambda x: x + i) for i in range(3)]\n"
        "f = lambda x: (fs[1](x), gs[0](x))"
    ),
    "exceptions": (
        "def f(x):\n    try:\n        return 1 // (x - x)\n    except ZeroDivisionError:\n        return 'zde'\n    finally:\n        pass"
    ),
    "with": "import contextlib\ndef f(x):\n    with contextlib.suppress(ValueError):\n        int('a')\n    return 'ok'",
    "comprehension": "def f(x): return [i * j for i in range(x) for j in range(i)]",
    "generator function": "def g(n):\n    for i in range(n): yield i\ndef f(x): return list(g(x))",
    "async function": "import asyncio\nasync def a(x):\n    await asyncio.sleep(0)\n    return x + 1\ndef f(x): return asyncio.run(a(x))",
    "f-string": "def f(x): return f'{x:>4}|{x!r}'",
    "match": "def f(x):\n    match x:\n        case 3: return 'three'\n        case _: return 'other'",
    "global": "K = 5\ndef f(x): return x + K",
    "rebound global": "N = 1\ndef f(x): return x + N\nN = 50",
    "global written": "cnt = 0\ndef inc():\n    global cnt\n    cnt += 1\ndef f(x):\n    inc(); inc(); return cnt",
    "keyword call": "def h(a, b=2): return a - b\ndef f(x): return h(b=x, a=1)",
    "keyword only": "def f(x, *, k=7): return x + k",
    "unpacking": "def f(x):\n    a, *b = range(x)\n    return {**{'a': a}, 'b': b}",
    "recursion": "def f(x): return 1 if x < 2 else x * f(x - 1)",
    "function attribute": "def f(x): return f.tag\nf.tag = 3",
    "mutable default": "def f(x, acc=[]):\n    acc.append(x)\n    return acc\nf(1)",
    "annotations of the future": (
        "from __future__ import annotations\ndef f(x: Undefined) -> Nope: return x + len(f.__annotations__)"
    ),
    "docstring": "def f(x):\n    'says so'\n    return f.__doc__",
    "decorator": (
        "import functools\ndef d(fn):\n    @functools.wraps(fn)\n    def w(*a): return fn(*a) * 2\n    return w\n"
        "@d\ndef f(x): return x + 1"
    ),
    "decorator with an effect": (
        "calls = []\ndef reg(fn):\n    calls.append(fn.__name__)\n    return fn\n@reg\ndef h(x): return x\ndef f(x): return h(x), calls"
    ),
    "lru_cache": "import functools\n@functools.lru_cache(None)\ndef f(x): return 1 if x < 2 else f(x - 1) + f(x - 2)",
    "partial": "import functools\ndef g(a, b): return a * b\nf = functools.partial(g, 3)",
    "shared closure": (
        "def mk():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n    def get(): return n\n    return inc, get\n"
        "inc, get = mk()\ndef f(x):\n    inc(); inc(); return get()"
    ),
    "class": "class C:\n    def __init__(self, x): self.x = x\n    def get(self): return self.x + 1\ndef f(x): return C(x).get()",
    "callable instance": "class C:\n    def __init__(self, x): self.x = x\n    def __call__(self, x): return self.x + x\nf = C(4)",
    "bound method": "class C:\n    def m(self, x): return self.x + x\nc = C(); c.x = 4; f = c.m",
    "super": "class B:\n    def get(self): return 1\nclass C(B):\n    def get(self): return super().get() + 10\ndef f(x): return C().get()",
    "classmethod super": (
        "class A:\n    @classmethod\n    def mk(cls): return [cls.__name__]\nclass B(A):\n    @classmethod\n"
        "    def mk(cls): return super().mk() + ['b']\ndef f(x): return B.mk()"
    ),
    "mangled name": "class C:\n    def __init__(self): self.__p = 5\n    def get(self): return self.__p\ndef f(x): return C().get()",
    "nested class": "class O:\n    class I:\n        v = 4\n    def g(self): return self.I.v\ndef f(x): return O().g()",
    "slots": "class S:\n    __slots__ = ('a',)\n    def __init__(self): self.a = 9\ns = S()\ndef f(x): return S().a, s.a",
    "property": (
        "class S:\n    @property\n    def p(self): return 3\n    @classmethod\n    def c(cls): return cls.__name__\n"
        "    @staticmethod\n    def s(): return 1\ndef f(x): return S().p, S.c(), S.s()"
    ),
    "property setter": (
        "class T:\n    def __init__(s): s._v = 1\n    @property\n    def v(s): return s._v\n    @v.setter\n"
        "    def v(s, x): s._v = x * 2\ndef f(x):\n    t = T(); t.v = x; return t.v"
    ),
    "metaclass": (
        "class M(type):\n    def __new__(m, n, b, d):\n        d['tag'] = n\n        return super().__new__(m, n, b, d)\n"
        "    def shout(cls): return cls.tag.upper()\nclass C(metaclass=M): pass\ndef f(x): return C.tag, C.shout(), type(C).__name__"
    ),
    "init_subclass": (
        "seen = []\nclass B:\n    def __init_subclass__(cls, **k): seen.append(cls.__name__)\nclass C(B): pass\n"
        "def f(x): return seen, C.__bases__ == (B,), isinstance(C(), B)"
    ),
    "exception class": (
        "class MyErr(ValueError):\n    def __init__(self, m): super().__init__(m); self.m = m\n"
        "def f(x):\n    try: raise MyErr('q')\n    except MyErr as e: return e.m"
    ),
    "abstract": (
        "import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def g(self): ...\nclass B(A):\n    def g(self): return 7\n"
        "def f(x):\n    try:\n        A()\n    except TypeError:\n        return B().g(), isinstance(B(), A)"
    ),
    "registered": "import abc\nclass A(abc.ABC): pass\nclass B: pass\nA.register(B)\ndef f(x): return isinstance(B(), A)",
    "generic": "import typing\nT = typing.TypeVar('T')\nclass G(typing.Generic[T]):\n    def g(self): return 8\ndef f(x): return G[int]().g()",
    "dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    a: int = 1\n    b: list = dataclasses.field(default_factory=list)\n"
        "p = P(4)\ndef f(x): return repr(P(x)), p == P(4), dataclasses.asdict(p), isinstance(p, P)"
    ),
    "frozen dataclass": (
        "import dataclasses\n@dataclasses.dataclass(frozen=True, order=True)\nclass P:\n    a: int\n    b: str = 'q'\n"
        "    def m(self): return self.a * 2\ndef f(x): return P(x) < P(4), P(1).m(), hash(P(2)) == hash(P(2))"
    ),
    "dataclass with slots": (
        "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass P:\n    a: int\n    b: str = 'q'\np = P(1)\n"
        "def f(x): return repr(P(x)), p.b, hasattr(p, '__dict__')"
    ),
    "dataclass inherits": (
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    a: int\n    def __post_init__(self): self.c = 1\n"
        "@dataclasses.dataclass\nclass B(A):\n    b: int = 2\n    def __post_init__(self):\n        super().__post_init__(); self.d = self.c\n"
        "def f(x): return repr(B(x)), B(1).d"
    ),
    "enum": "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n    C = 1\ne = E.A\ndef f(x): return E(1).name, e is E.A, E.C is E.A",
    "enum with methods": (
        "import enum\nclass P(enum.Enum):\n    E = (5.9, 6.3)\n    def __init__(self, m, r): self.m = m; self.r = r\n"
        "    @property\n    def q(self): return self.m + self.r\n    def __str__(self): return 'planet'\n"
        "def f(x): return round(P.E.q, 1), str(P.E)"
    ),
    "int flag": "import enum\nclass F(enum.IntFlag):\n    A = enum.auto()\n    B = enum.auto()\ndef f(x): return int(F.A | F.B), F(3) == F.A | F.B",
    "namedtuple": "from collections import namedtuple\nP = namedtuple('P', 'a b')\np = P(1, 2)\ndef f(x): return repr(P(1, x)), p.a, type(p) is P",
    "typed namedtuple": (
        "import typing\nclass P(typing.NamedTuple):\n    a: int\n    b: int = 3\n    def s(self): return self.a + self.b\n"
        "def f(x): return repr(P(x)), P(x).s()"
    ),
    "namedtuple subclass": (
        "from collections import namedtuple\nclass P(namedtuple('P', 'a b')):\n    __slots__ = ()\n    def s(self): return self.a + self.b\n"
        "def f(x): return P(x, 1).s()"
    ),
    "dict subclass": "class D(dict):\n    def __missing__(self, k): return k * 2\nd = D(a=1); d.x = 5\ndef f(x): return d[x], d['a'], d.x",
    "enum with a constructor of its own": (
        "import enum\nmade = []\nclass C(enum.Enum):\n    def __new__(cls, code, label):\n        made.append(label)\n"
        "        self = object.__new__(cls); self._value_ = code; self.label = label\n        return self\n"
        "    A = (1, 'a')\n    B = (2, 'b')\nC.A.seen = [C.B]\n"
        "def f(x): return made, C(1).label, C.A.seen[0] is C.B, list(C), [n for n in vars(C) if n in ('A', 'B')]"
    ),
    "enum of functions": (
        "import enum, functools\ndef g(x): return x * 2\n"
        "class Op(enum.Enum):\n    TWICE = getattr(enum, 'member', lambda m: m)(functools.partial(g))\nop = Op.TWICE\n"
        "def f(x): return op.value(x), op is Op.TWICE, Op(op.value).name"
    ),
    "str enum and flags": (
        "import enum\nclass K(str, enum.Enum):\n    A = 'a'\nclass P(enum.Flag):\n    R = 1\n    W = 2\n    RW = 3\n"
        "both = P.R | P.W\ndef f(x): return K.A == 'a', K('a') is K.A, both is P.RW, P.RW & ~P.R is P.W"
    ),
    "protocol": (
        "import typing\n@typing.runtime_checkable\nclass Closes(typing.Protocol):\n    def close(self): ...\n"
        "class Door:\n    def close(self): return 1\ndef f(x): return isinstance(Door(), Closes), isinstance(x, Closes)"
    ),
    "generic inherited": (
        "import typing\nT = typing.TypeVar('T')\nclass G(typing.Generic[T]):\n    def __init__(self, x): self.x = x\n"
        "class H(G[int]): pass\nalias = G[str]\n"
        "def f(x): return H(x).x, alias('a').x, alias.__origin__ is G, G.__parameters__ == (T,), T.__module__"
    ),
    "a base registers its subclasses": (
        "class Plugin:\n    known = {}\n    def __init_subclass__(cls, key, **k): Plugin.known[key] = cls\n"
        "class A(Plugin, key='a'): pass\ndef f(x): return list(Plugin.known), Plugin.known['a'] is A, len(Plugin.__subclasses__())"
    ),
    "property subclass": (
        "class shout(property):\n    def __get__(self, i, o): return super().__get__(i, o).upper()\nclass C:\n    @shout\n"
        "    def name(self): 'The name.'; return 'ann'\ndef f(x): return C().name, type(vars(C)['name']).__name__, C.__dict__['name'].__doc__"
    ),
    "globals of its own": (
        "import types\ndef g(): return k\nns = {'k': 'private'}\nh = types.FunctionType(g.__code__, ns, 'h')\nns['h'] = h\n"
        "def f(x): ns['k'] = x; return h(), h.__globals__ is ns, ns['h'] is h"
    ),
    "dataclass with a default changed": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    a: int = 1\nP.a = 7\ndef f(x): return P().a, P.a"
    ),
    "descriptor": (
        "class D:\n    def __set_name__(self, o, n): self.n = n\n    def __get__(self, i, o): return self.n\nclass C:\n    attr = D()\n"
        "def f(x): return C().attr"
    ),
}  # fmt: skip


def run_case(name: str, namespace: dict) -> None:
    filename, code = f"<cell {name}>", CASES[name] + "\n"
    linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
    exec(compile(code, filename, "exec", dont_inherit=True), namespace)


def names_of(namespace: dict) -> list[str]:
    return [name for name in namespace if not name.startswith("__")]


def answer(namespace: dict) -> str:
    try:
        return repr(namespace["f"](3))
    except Exception as error:
        return f"raised {error!r}"


def _main_namespace() -> dict:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__builtins__ = builtins
    return vars(module)


def make() -> dict:
    from farcell_host.state import Replica

    made = {}
    for name in CASES:
        namespace = _main_namespace()
        run_case(name, namespace)
        replica = Replica(namespace, side="local")
        payload = replica.pack(replica.capture(names_of(namespace)))
        parts = [[base64.b64encode(each).decode() for each in room] for room in (payload.buffers, payload.bulk)]
        made[name] = [payload.header, *parts, answer(namespace)]
    return made


def load(made: dict) -> dict:
    from farcell_host.state import Payload, Replica

    answers = {}
    for name, (header, buffers, bulk, expected) in made.items():
        namespace = _main_namespace()
        replica = Replica(namespace, side="remote")
        rooms = [[bytearray(base64.b64decode(each)) for each in room] for room in (buffers, bulk)]
        try:
            replica.apply(replica.unpack(Payload(header, *rooms)))
            answers[name] = [expected, answer(namespace)]
        except Exception as error:
            answers[name] = [expected, f"not rebuilt: {error!r}"]
    return answers


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    result = make() if sys.argv[1] == "make" else load(json.load(sys.stdin))
    json.dump(result, sys.stdout)
