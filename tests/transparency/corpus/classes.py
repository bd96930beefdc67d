"""Classes of the notebook: every way to make one, what they hold, and that instances keep the class they were made of."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "a dataclass with a default factory",
        """
        from dataclasses import dataclass, field
        @dataclass
        class Job:
            name: str
            steps: list = field(default_factory=list)
        a = Job('a'); b = Job('b')
        """,
        "a.steps.append('load')",
        "b.steps = a.steps; c = Job('c')",
        "a, b, c, a.steps is b.steps",
    ),
    scenario(
        "a dataclass with order, slots and keywords only",
        """
        from dataclasses import dataclass, replace
        @dataclass(order=True, slots=True, kw_only=True)
        class V:
            major: int
            minor: int = 0
        old = V(major=1)
        """,
        "new = replace(old, minor=5)",
        "old < new, max(old, new) is new, V.__slots__",
        "try: new.patch = 1\nexcept AttributeError as e: print(e)",
    ),
    scenario(
        "a dataclass with __post_init__, InitVar and a field that repr hides",
        """
        from dataclasses import InitVar, asdict, dataclass, field
        @dataclass
        class Box:
            side: int
            unit: InitVar[str] = 'cm'
            area: int = field(init=False, repr=False)
            def __post_init__(self, unit):
                self.area = self.side ** 2; self.label = unit
        """,
        "b = Box(3, 'mm')",
        "b.area += 1",
        "b, asdict(b), b.label, [f for f in vars(b)]",
    ),
    scenario(
        "a dataclass of a dataclass is compared and copied",
        """
        from dataclasses import dataclass, replace
        @dataclass
        class P:
            x: int
        @dataclass
        class Q(P):
            y: P
        inner = P(1); q = Q(0, inner)
        """,
        "again = replace(q, x=9)",
        "inner.x = 5",
        "q, again, q.y is again.y, q == Q(0, P(5))",
    ),
    scenario(
        "a NamedTuple class with a method and a default",
        """
        from typing import NamedTuple
        class Point(NamedTuple):
            x: int
            y: int = 0
            def norm(self): return abs(self.x) + abs(self.y)
        p = Point(3)
        """,
        "q = p._replace(y=-4)",
        "x, y = q",
        "p, q, q.norm(), Point._fields, Point._field_defaults, type(q) is Point, x + y",
    ),
    scenario(
        "a TypedDict is a dict with annotations",
        """
        from typing import TypedDict
        class Movie(TypedDict, total=False):
            name: str
            year: int
        m: Movie = {'name': 'M'}
        """,
        "m['year'] = 1931",
        "again = Movie(name='N')",
        "m, again, type(again) is dict, Movie.__total__, sorted(Movie.__annotations__)",
    ),
    scenario(
        "an Enum's members are one of a kind",
        """
        from enum import Enum
        class Color(Enum):
            RED = 1
            GREEN = 2
            CRIMSON = 1
            def shout(self): return self.name + '!'
        paint = Color.RED; used = {Color.GREEN: [1]}
        """,
        "paint is Color.RED, Color(2) is Color.GREEN, Color['CRIMSON'] is paint",
        "used[Color.RED] = paint; other = Color(1)",
        "list(Color), other is paint, paint.shout(), used[Color(2)]",
    ),
    scenario(
        "members of auto, of str and of int",
        """
        from enum import Enum, IntEnum, auto
        class Kind(str, Enum):
            A = 'a'
            B = 'b'
        class Level(IntEnum):
            LOW = auto()
            HIGH = auto()
        level = Level.LOW
        """,
        "level += 1",
        "kind = Kind('b'); high = Level(level)",
        "type(level), kind == 'b', kind is Kind.B, sorted([Level.HIGH, Level.LOW])[0] is Level.LOW, high is Level.HIGH",
    ),
    scenario(
        "flags are combined and taken away",
        """
        from enum import Flag, auto
        class Perm(Flag):
            R = auto()
            W = auto()
            X = auto()
            RW = R | W
        mine = Perm.R
        """,
        "mine |= Perm.W",
        "mine is Perm.RW, Perm.X in mine",
        "mine &= ~Perm.R\nmine is Perm.W, mine.value, bool(Perm(0))",
    ),
    scenario(
        "an abstract class refuses, its subclass does not",
        """
        from abc import ABC, abstractmethod
        class Shape(ABC):
            @abstractmethod
            def area(self): ...
            def twice(self): return 2 * self.area()
        """,
        "try: Shape()\nexcept TypeError as e: print(type(e).__name__)",
        "class Square(Shape):\n    def __init__(self, s): self.s = s\n    def area(self): return self.s ** 2",
        "sq = Square(3)",
        "sq.twice(), isinstance(sq, Shape), Shape.__abstractmethods__, Square.__abstractmethods__",
    ),
    scenario(
        "a class registered with an abstract one",
        """
        from abc import ABC
        class Walker(ABC):
            @classmethod
            def __subclasshook__(cls, other): return NotImplemented
        class Dog: pass
        d = Dog(); before = isinstance(d, Walker)
        """,
        "_ = Walker.register(Dog)",
        "before, isinstance(d, Walker), issubclass(Dog, Walker), Walker in Dog.__mro__",
    ),
    scenario(
        "a generic class and its parameters",
        """
        from typing import Generic, TypeVar
        T = TypeVar('T')
        class Stack(Generic[T]):
            def __init__(self): self.items = []
            def push(self, x: T): self.items.append(x); return self
        """,
        "s = Stack[int]().push(1)",
        "class IntStack(Stack[int]): pass\nalias = Stack[str]",
        "s.push(2) is s",
        "s.items, type(s) is Stack, alias.__origin__ is Stack, alias.__args__, Stack.__parameters__ == (T,)",
        "IntStack().push(0).items",
    ),
    scenario(
        "a protocol checked at run time",
        """
        from typing import Protocol, runtime_checkable
        @runtime_checkable
        class Closes(Protocol):
            def close(self): ...
        class Door:
            def close(self): return 'shut'
        class Wall: pass
        """,
        "things = [Door(), Wall()]",
        "[isinstance(t, Closes) for t in things]",
        "Wall.close = lambda self: 'never'",
        "[isinstance(t, Closes) and t.close() for t in things]",
    ),
    scenario(
        "a metaclass keeps a register of its classes",
        """
        class Meta(type):
            made = {}
            def __new__(mcs, name, bases, body, **kw):
                cls = super().__new__(mcs, name, bases, body)
                mcs.made[name] = cls
                cls.options = kw
                return cls
            def __len__(cls): return len(cls.__dict__.get('fields', ()))
        """,
        "class A(metaclass=Meta): fields = ['x', 'y']",
        "class B(A, color='red'): pass",
        "a = B()",
        "list(Meta.made), Meta.made['A'] is A, len(A), len(B), B.options, type(a) is Meta.made['B'], type(B) is Meta",
    ),
    scenario(
        "a metaclass that makes singletons",
        """
        class Single(type):
            kept = {}
            def __call__(cls, *a, **k):
                if cls not in cls.kept:
                    cls.kept[cls] = super().__call__(*a, **k)
                return cls.kept[cls]
        class Config(metaclass=Single):
            def __init__(self): self.values = {}
        """,
        "Config().values['a'] = 1",
        "c = Config()",
        "c.values['b'] = 2",
        "Config() is c, Config().values",
    ),
    scenario(
        "a property with setter and deleter",
        """
        class Temp:
            def __init__(self): self._c = 0
            @property
            def f(self):
                "In Fahrenheit."
                return self._c * 9 / 5 + 32
            @f.setter
            def f(self, v): self._c = (v - 32) * 5 / 9
            @f.deleter
            def f(self): self._c = None
        t = Temp()
        """,
        "t.f = 212",
        "t.f, t._c, Temp.f.__doc__",
        "del t.f",
        "t._c",
    ),
    scenario(
        "a cached_property is computed once",
        """
        import functools
        class Data:
            count = 0
            @functools.cached_property
            def big(self):
                Data.count += 1
                return [self.count]
        d = Data()
        """,
        "first = d.big",
        "d.big is first, Data.count",
        "del d.big; d.big",
        "first, d.big, Data.count, list(vars(d))",
    ),
    scenario(
        "class methods and static methods",
        """
        class Pool:
            made = []
            @classmethod
            def make(cls, n):
                self = cls(); self.n = n; cls.made.append(self)
                return self
            @staticmethod
            def double(x): return x * 2
        class Sub(Pool): pass
        """,
        "a = Pool.make(1)",
        "b = Sub.make(Sub.double(2)); make = Sub.make",
        "c = make(7)",
        "[(type(x).__name__, x.n) for x in Pool.made], Pool.made[1] is b, make.__self__ is Sub, type(c) is Sub",
    ),
    scenario(
        "super over several bases",
        """
        class A:
            def go(self): return ['A']
        class B(A):
            def go(self): return ['B'] + super().go()
        class C(A):
            def go(self): return ['C'] + super().go()
        """,
        "class D(B, C):\n    def go(self): return ['D'] + super().go()",
        "d = D()",
        "d.go(), [k.__name__ for k in D.__mro__], super(B, d).go()",
    ),
    scenario(
        "a base's method is replaced after the subclass was made",
        "class A:\n    def go(self): return 'old'\nclass B(A):\n    def go(self): return super().go() + '+'",
        "b = B()",
        "A.go = lambda self: 'new'",
        "b.go(), B().go()",
    ),
    scenario(
        "a private name is mangled",
        """
        class Safe:
            def __init__(self): self.__code = [1]
            def open(self): return self.__code
        s = Safe()
        """,
        "s.open().append(2)",
        "s._Safe__code.append(3); s.__code = 'outside'",
        "s.open(), sorted(vars(s))",
    ),
    scenario(
        "slots, with a slot that is empty and a dict in a subclass",
        """
        class P:
            __slots__ = ('x', 'y')
        class Q(P): pass
        p = P(); p.x = [1]; q = Q(); q.y = p.x; q.z = 'free'
        """,
        "p.x.append(2)",
        "try: p.y\nexcept AttributeError as e: print('no y')",
        "p.y = 5; del p.x",
        "hasattr(p, 'x'), p.y, q.y, vars(q)",
    ),
    scenario(
        "nested classes",
        """
        class Outer:
            class Inner:
                class Core: level = 3
                items = []
            def make(self): return self.Inner()
        o = Outer(); i = o.make()
        """,
        "i.items.append(1); core = Outer.Inner.Core()",
        "Outer.Inner.items, type(i) is Outer.Inner, type(core).__qualname__, core.level",
        "Outer.Inner.Core.level = 4",
        "core.level",
    ),
    scenario(
        "a class made in a function closes over its arguments",
        """
        def make(tag, seen):
            class Local:
                def go(self):
                    seen.append(tag)
                    return __class__
            return Local
        seen = []; A = make('a', seen); B = make('b', seen)
        """,
        "A().go() is A, B().go() is B",
        "A is B, A.__qualname__, seen",
        "a = A(); seen.clear()",
        "type(a) is A; a.go(); seen",
    ),
    scenario(
        "a class made by type()",
        "def hello(self): return f'{self.name} says {word}'\nword = 'hi'",
        "K = type('K', (), {'name': 'K', 'hello': hello})",
        "k = K(); word = 'ho'",
        "k.hello(), K.__name__, K.hello is hello, K.__module__",
    ),
    scenario(
        "an exception class with fields",
        """
        class AppError(Exception):
            def __init__(self, message, code=0):
                super().__init__(message)
                self.code = code
            def __str__(self): return f'[{self.code}] {self.args[0]}'
        class Worse(AppError): pass
        """,
        "e = Worse('bad', code=5); e.notes = ['n']",
        "try: raise e\nexcept AppError as caught: kept = caught",
        "kept is e, str(kept), kept.args, kept.notes, isinstance(kept, Worse)",
    ),
    scenario(
        "a pydantic model",
        """
        from pydantic import BaseModel, Field
        class User(BaseModel):
            name: str
            tags: list[str] = Field(default_factory=list)
        class Team(BaseModel):
            lead: User
            size: int = 1
        u = User(name='ann')
        """,
        "u.tags.append('x'); t = Team(lead=u)",
        "t.lead is u, t.model_dump()",
        "try: Team(lead=u, size='many')\nexcept ValueError as e: print(e.error_count(), e.errors()[0]['loc'])",
        "t.size = 2; back = Team.model_validate_json(t.model_dump_json())",
        "back == t, type(back.lead) is User, back.model_fields_set == {'lead', 'size'}",
        needs=("pydantic",),
    ),
    scenario(
        "an attrs class with a converter and a validator",
        """
        import attrs
        @attrs.define
        class Row:
            n: int = attrs.field(converter=int, validator=attrs.validators.ge(0))
            more: list = attrs.Factory(list)
        r = Row('3')
        """,
        "r.more.append(r.n); r.n = '7'",
        "try: r.n = -1\nexcept ValueError: print('refused')",
        "r, attrs.asdict(r), attrs.evolve(r, n=1) == Row(1, r.more)",
        needs=("attrs",),
    ),
    scenario(
        "a frozen attrs class as a key",
        "import attrs\n@attrs.frozen\nclass K:\n    a: int\n    b: str = 'b'",
        "d = {K(1): [1]}; k = next(iter(d))",
        "d[K(1)].append(2); d[K(2)] = k",
        "d, d[K(2)] is k, hash(K(1)) == hash(k)",
        needs=("attrs",),
    ),
    scenario(
        "an instance and its class are the same over cells",
        "class C: pass\nc = C(); D = C",
        "type(c) is C, D is C",
        "c2 = D(); pair = [C, c2]",
        "type(c2) is type(c), pair[0] is D, isinstance(c, pair[0])",
    ),
    scenario(
        "a class redefined: old instances keep the old class",
        "class C:\n    def v(self): return 1\nold = C(); Old = C",
        "class C:\n    def v(self): return 2",
        "new = C()",
        "old.v(), new.v(), isinstance(old, C), type(old) is Old, Old is C",
        "old.__class__ = C",
        "old.v(), isinstance(old, C)",
    ),
    scenario(
        "an identical cell run again makes another class",
        "class C: n = []",
        "first = C(); First = C",
        "class C: n = []",
        "First is C, First.n is C.n, isinstance(first, C), repr(First) == repr(C)",
    ),
    scenario(
        "class attributes changed in place and rebound",
        "class C:\n    items = []\n    n = 0\na, b = C(), C()",
        "a.items.append(1); a.n += 1",
        "C.n = 10; b.items += [2]",
        "C.items, a.n, b.n, vars(a), 'items' in vars(b), C.items is b.items",
    ),
    scenario(
        "an attribute is added to a class and one is taken away",
        "class C:\n    a = 1\n    def old(self): return self.a\nc = C()",
        "C.b = [2]; del C.old",
        "C.go = lambda self: (self.a, self.b)",
        "c.go(), hasattr(c, 'old'), c.b is C.b",
    ),
    scenario(
        "instances that a class attribute reaches",
        """
        class Node:
            all = []; root = None
            def __init__(self, name): self.name = name; Node.all.append(self)
        Node.root = Node('root'); leaf = Node('leaf')
        """,
        "Node.root.name += '!'; leaf.parent = Node.root",
        "n = Node('new')",
        "[x.name for x in Node.all], leaf.parent is Node.all[0] is Node.root, Node.all[2] is n",
    ),
    scenario(
        "__init_subclass__ registers with keywords",
        """
        class Plugin:
            known = {}
            def __init_subclass__(cls, /, key=None, **kw):
                super().__init_subclass__(**kw)
                Plugin.known[key or cls.__name__] = cls
        """,
        "class Csv(Plugin, key='csv'): pass",
        "class Json(Plugin): pass",
        "sorted(Plugin.known), Plugin.known['csv'] is Csv, Plugin.known['Json']() is not None",
    ),
    scenario(
        "subclasses are listed by their base",
        "class Base: pass\nclass A(Base): pass",
        "class B(Base): pass",
        "sorted(c.__name__ for c in Base.__subclasses__())",  # in which order: docs/limits.md
    ),
    scenario(
        "descriptors with __set_name__",
        """
        class Positive:
            def __set_name__(self, owner, name): self.name = '_' + name; self.owner = owner
            def __get__(self, obj, kind=None): return self if obj is None else getattr(obj, self.name)
            def __set__(self, obj, v):
                if v <= 0: raise ValueError(self.name)
                setattr(obj, self.name, v)
        class Order:
            amount = Positive()
        o = Order(); o.amount = 3
        """,
        "o.amount *= 2",
        "try: o.amount = 0\nexcept ValueError as e: print(e)",
        "o.amount, Order.amount.owner is Order, vars(o)",
    ),
    scenario(
        "__getattr__ answers what is not there",
        """
        class Lazy:
            def __init__(self): self.asked = []
            def __getattr__(self, name):
                if name.startswith('_'): raise AttributeError(name)
                self.asked.append(name)
                return name.upper()
        z = Lazy()
        """,
        "z.foo, z.bar",
        "z.bar = 'set'",
        "z.bar, z.baz, z.asked",
    ),
    scenario(
        "__setattr__ and __delattr__ keep a log",
        """
        class Logged:
            def __init__(self): object.__setattr__(self, 'log', [])
            def __setattr__(self, k, v): self.log.append(('set', k)); object.__setattr__(self, k, v)
            def __delattr__(self, k): self.log.append(('del', k)); object.__delattr__(self, k)
        x = Logged(); x.a = 1
        """,
        "x.b = 2",
        "del x.a",
        "x.log, sorted(vars(x))",
    ),
    scenario(
        "__eq__ and __hash__ of the notebook's own in a set and a dict",
        """
        class Word:
            def __init__(self, s): self.s = s
            def __eq__(self, o): return isinstance(o, Word) and self.s.lower() == o.s.lower()
            def __hash__(self): return len(self.s)
            def __repr__(self): return f'W({self.s})'
        seen = {Word('a'), Word('bc')}; d = {Word('K'): [1]}
        """,
        "seen.add(Word('A')); d[Word('k')].append(2)",
        "d[Word('k')] = 'new'",
        "len(seen), Word('BC') in seen, d, list(d)[0].s",
    ),
    scenario(
        "a class without a hash",
        "class E:\n    def __eq__(self, o): return True\na = E()",
        "try: {a}\nexcept TypeError as e: print(e)",
        "a == 5, [a].index('anything'), E.__hash__",
    ),
    scenario(
        "operators, length, iteration and call of an instance",
        """
        class Vec:
            def __init__(self, *v): self.v = list(v)
            def __add__(self, o): return Vec(*map(sum, zip(self.v, o.v)))
            def __iadd__(self, o): self.v.extend(o.v); return self
            def __len__(self): return len(self.v)
            def __getitem__(self, i): return self.v[i]
            def __call__(self, k): return Vec(*(k * x for x in self.v))
            def __bool__(self): return False
        a = Vec(1, 2); b = a
        """,
        "c = a + Vec(10, 20)",
        "b += c(2)",
        "list(a), a is b, len(b), list(c), bool(a)",
    ),
    scenario(
        "a weak dictionary of instances that are named",
        """
        import weakref
        class W: pass
        keep = W(); live = weakref.WeakValueDictionary({'k': keep})
        """,
        "keep.n = 1",
        "live['k'] is keep, live['k'].n, len(live)",
        "del keep",
        "import gc; _n = gc.collect(); len(live)",
        own=("_n",),  # how much garbage there was is the kernel's own
    ),
    scenario(
        "a weak reference made and used in one cell",
        "import weakref\nclass W: pass\nw = W()",
        "r = weakref.ref(w); alive = r() is w; del r",
        "w.seen = alive",
        "vars(w)",
    ),
    scenario(
        "a class whose instances copy and pickle in their own way",
        """
        import copy
        class State:
            def __init__(self): self.keep = [1]; self.drop = 'here'
            def __getstate__(self): return {'keep': self.keep}
            def __setstate__(self, s): self.__dict__.update(s); self.drop = 'restored'
        s = State()
        """,
        "t = copy.copy(s)",
        "t.keep.append(2)",
        "s.keep, t.drop, t.keep is s.keep",
    ),
    scenario(
        "a context manager class",
        """
        class Span:
            log = []
            def __init__(self, n): self.n = n
            def __enter__(self): self.log.append(f'+{self.n}'); return self
            def __exit__(self, kind, e, tb): self.log.append(f'-{self.n} {kind and kind.__name__}'); return kind is KeyError
        """,
        "with Span('a') as a, Span('b'): pass",
        "with Span('c'): {}['x']",
        "Span.log, a.n",
    ),
    scenario(
        "an iterator class goes on where it was",
        """
        class Up:
            def __init__(self): self.n = 0
            def __iter__(self): return self
            def __next__(self):
                self.n += 1
                if self.n > 6: raise StopIteration
                return self.n
        up = Up()
        """,
        "next(up), next(up)",
        "head = [x for x, _ in zip(up, 'ab')]",
        "head, list(up)",
    ),
]
