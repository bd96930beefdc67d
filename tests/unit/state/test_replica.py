"""What a user sees of state that travels: aliases, identity, in-place merge, deletes."""

from __future__ import annotations

import builtins
import collections

import pytest
from farcell_host.state.decode import is_inert
from farcell_host.state.objects import BUILTINS


def test_unchanged_sends_nothing(pair):
    """A value that did not change is not sent a second time, nor sent back."""
    pair.cell("config = {'rate': 0.1, 'layers': [1, 2]}\ndef f(x): return x + config['rate']\nsame = config, f")
    pair.ship("same")
    pair.ship("same")
    assert pair.last.is_empty
    pair.collect()
    assert pair.last.is_empty


def test_aliases_stay_aliases(pair):
    """Two names of one list are one list on the target."""
    pair.cell("a = [1]; b = a")
    pair.ship("a", "b")
    assert pair.there["a"] is pair.there["b"]


def test_alias_made_in_one_cell_holds_in_a_later_one(pair):
    """`b = a` in one remote cell is `b is a` after two exchanges, on both sides."""
    pair.cell("a = [1]")
    pair.run("b = a", "a")
    assert pair.here["b"] is pair.here["a"]
    pair.run("b.append(2); same = b is a", "a", "b")
    assert pair.here["same"] is True
    assert pair.here["a"] == [1, 2]
    assert pair.here["b"] is pair.here["a"]


def test_alias_sent_later_is_the_known_object(pair):
    """A name that is read only by a later cell still means the object sent before."""
    pair.cell("a = {'k': 1}; holder = [a]")
    pair.ship("a")
    pair.ship("holder")
    assert pair.there["holder"][0] is pair.there["a"]


def test_cycles_travel(pair):
    """A list that contains itself comes out as one."""
    pair.cell("a = []; a.append(a)")
    pair.run("a.append(1)", "a")
    assert pair.here["a"][0] is pair.here["a"]
    assert pair.here["a"][1] == 1


KINDS = {
    "list": ("[1, 2]", "x.append(3)", [1, 2, 3]),
    "dict": ("{'a': 1}", "x['b'] = 2; del x['a']", {"b": 2}),
    "set": ("{1, 2}", "x.add(3)", {1, 2, 3}),
    "bytearray": ("bytearray(b'ab')", "x += b'c'", bytearray(b"abc")),
    "deque": ("__import__('collections').deque([1], 5)", "x.append(2)", collections.deque([1, 2])),
    "ordered": ("__import__('collections').OrderedDict(a=1, b=2)", "x.move_to_end('a')", collections.OrderedDict(b=2, a=1)),
    "default": ("__import__('collections').defaultdict(list)", "x['a'].append(1)", {"a": [1]}),
    "counter": ("__import__('collections').Counter('aab')", "x['b'] += 5", collections.Counter(a=2, b=6)),
    "array": ("__import__('numpy').zeros(3)", "x[1] = 5", [0, 5, 0]),
    "objects": ("__import__('numpy').array([None, 'a'])", "x[0] = [1]", [[1], "a"]),
}


@pytest.mark.parametrize("make, change, expected", KINDS.values(), ids=KINDS)
def test_changes_are_merged_into_the_object_the_notebook_has(pair, make, change, expected):
    """A change made remotely is seen through every reference the notebook holds, also one that never travelled."""
    pair.cell(f"x = {make}")
    outside = pair.here["x"]
    pair.run(change, "x")
    assert pair.here["x"] is outside
    assert (outside.tolist() if hasattr(outside, "tolist") else outside) == expected
    assert type(outside) is type(pair.there["x"])


def test_instance_is_merged_in_place_past_its_own_setattr(pair):
    """An instance's attributes change in place; its `__setattr__` is not run by the merge."""
    pair.cell(
        "class Model:\n"
        "    def __init__(self): self.__dict__.update(w=[0], gone=1)\n"
        "    def __setattr__(self, name, value): raise RuntimeError(name)\n"
        "m = Model()"
    )
    outside, weights = pair.here["m"], pair.here["m"].w
    pair.run("m.w.append(1); m.__dict__['new'] = m; del m.__dict__['gone']", "m")
    assert pair.here["m"] is outside
    assert outside.w is weights
    assert outside.__dict__ == {"w": [0, 1], "new": outside}


def test_slots_are_merged(pair):
    """An instance without `__dict__` is merged through its slots."""
    pair.cell("class P:\n    __slots__ = ('a', 'b')\np = P(); p.a = 1")
    outside = pair.here["p"]
    pair.run("p.b = p.a; del p.a", "p")
    assert outside.b == 1
    assert not hasattr(outside, "a")


def test_closure_cell_and_function_attributes_are_merged(pair):
    """A counter in a closure counts on across sides; function attributes follow."""
    pair.cell(
        "def make():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n        return n\n"
        "    def get(): return n\n    return inc, get\ninc, get = make()"
    )
    get = pair.here["get"]
    pair.run("inc(); inc(); get.tag = 'seen'", "inc", "get")
    assert get() == 2
    assert get.tag == "seen"
    assert pair.here["inc"]() == 3
    pair.run("value = get()", "get", "inc")
    assert pair.here["value"] == 3


def test_class_attribute_is_merged_into_the_same_class(pair):
    """A class attribute set remotely appears on the notebook's own class; instances stay its instances."""
    pair.cell("class C:\n    count = 0\n    def up(self): type(self).count += 1\nc = C()")
    cls = pair.here["C"]
    pair.run("c.up(); C.extra = 'e'; d = C()", "C", "c")
    assert pair.here["C"] is cls
    assert (cls.count, cls.extra) == (1, "e")
    assert type(pair.here["d"]) is cls
    assert type(pair.here["c"]) is cls


def test_globals_are_the_namespace_of_the_side_it_runs_on(pair):
    """`global counter` and a redefined helper behave as they would locally."""
    pair.cell("counter = 0\ndef helper(): return 'old'\ndef bump():\n    global counter\n    counter += 1\n    return helper()")
    capture = pair.ship("bump")
    assert capture.names["counter"].reason == "used by bump"
    pair.remote_exec("def helper(): return 'new'\nseen = bump()")
    pair.collect()
    assert pair.here["counter"] == 1
    assert pair.here["seen"] == "new"
    assert pair.here["bump"]() == "new"


def test_functions_anywhere_in_values_bring_their_globals(pair):
    """A function in a dict in a list, and a method of an instance's class, bring the names they use."""
    pair.cell(
        "scale = 3; offset = 4\ndef f(x): return x * scale\nclass A:\n    def m(self): return offset\ndeep = [{'f': f}]; a = A()"
    )
    assert set(pair.ship("deep", "a").names) >= {"deep", "a", "scale", "offset"}
    pair.remote_exec("r = deep[0]['f'](2) + a.m()")
    assert pair.there["r"] == 10


def test_state_up_to_an_exception_is_merged(pair):
    """What a failing cell changed before it failed is kept, and its exception comes back."""
    pair.cell("a = [1]")
    pair.ship("a")
    with pytest.raises(ZeroDivisionError) as caught:
        pair.remote_exec("a.append(2); 1/0")
    pair.collect(error=caught.value.with_traceback(None))
    assert pair.here["a"] == [1, 2]
    assert isinstance(pair.error, ZeroDivisionError)


def test_an_exception_that_cannot_travel_is_left_out(pair):
    """An exception that holds a lock does not stop the merge."""
    pair.remote_exec("import threading\ne = ValueError(threading.Lock()); x = 1")
    pair.collect("x", error=pair.there["e"])
    assert pair.error is None
    assert pair.here["x"] == 1


def test_result_comes_back_as_the_object_it_is(pair):
    """A result that is a known object is that object here."""
    pair.cell("a = [1]")
    pair.ship("a")
    pair.collect(result=pair.there["a"], has_result=True)
    assert pair.result is pair.here["a"]
    pair.collect(result=None, has_result=True)
    assert pair.result is None


def test_deleted_names_are_deleted(pair):
    """`del x` in a remote cell deletes x here, and the other way round."""
    pair.cell("x = [1]; y = [2]")
    pair.ship("x", "y")
    pair.remote_exec("del x")
    pair.collect("x", "y")
    assert "x" not in pair.here
    pair.cell("del y")
    pair.ship()
    assert "y" not in pair.there


def test_hidden_names_are_not_deleted(pair):
    """A name that a run does not see is not taken for a deleted one."""
    pair.cell("x = [1]")
    pair.ship("x")
    del pair.there["x"]
    pair.collect("z")
    assert "x" in pair.here


def test_rebinding_leaves_the_old_object_alone(pair):
    """A rebound name gets a new object; other references keep the old one."""
    pair.cell("a = [1]; old = a")
    pair.run("a = [2]", "a")
    assert pair.here["a"] == [2]
    assert pair.here["old"] == [1]


def test_what_a_name_was_is_not_told_when_it_is_bound_anew(pair):
    """The other side may have changed it, which this one does not know of."""
    pair.run("class C: pass\nkept = [1]")
    pair.ship("C", "kept")
    pair.cell("was = C, kept\nC.extra = 5\nkept.append(2)")
    pair.run("C = kept = 1", bound=["C", "kept"])
    cls, values = pair.here["was"]
    assert cls.extra == 5 and values == [1, 2] and (pair.here["C"], pair.here["kept"]) == (1, 1)


LOST = {
    "rebound": ("h = [1]; k = h", "h.clear(); h = 5", "k == []"),
    "deleted": ("h = [1]; k = h", "h.append(2); del h", "k == [1, 2]"),
    "taken out": ("h = [{'a': 1}]; k = h[0]", "h[0]['b'] = h; h.pop()", "k == {'a': 1, 'b': []} and k['b'] is h"),
    "taken out of what was rebound": ("h = [[1]]; k = h[0]", "h[0].append(2); h.clear(); h = 0", "kept == [1, 2]"),
    "an array": ("import numpy as np; h = np.zeros(3); k = h", "h += 1; h = None", "k.sum() == 3"),
    "with one that cannot travel": (
        "h = [[1], [2]]; k, j = h", "h[0].append(3); h[1].append(open('/dev/null')); h = 0", "k == [1, 3] and j == [2]"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("make, change, holds", LOST.values(), ids=LOST)
def test_what_a_run_changed_is_merged_though_no_name_leads_to_it_any_more(pair, make, change, holds):
    """The notebook reaches by other names what the run changed and then took away from the one it was given."""
    pair.cell(make)
    pair.cell("kept = h[0] if isinstance(h, list) else h")
    pair.ship("h")
    pair.remote_exec(change)
    pair.collect("h")
    assert eval(holds, pair.here)


def test_what_was_rebound_unchanged_is_not_sent(pair):
    """An old value that nothing changed costs no bytes."""
    pair.cell("h = [['x' * 1000]]; k = h")
    pair.run("h = None", "h")
    assert pair.last.total_bytes < 500
    assert pair.here["k"] == [["x" * 1000]]


def test_objects_that_change_places_stay_known(pair):
    """What moves from one name's value to another's in one run is the same object in the next one, too."""
    pair.cell("x = ['x']; y = ['y']; a = [x]; b = [y]")
    pair.run("a[0], b[0] = b[0], a[0]", "a", "b")
    assert pair.here["a"][0] is pair.here["y"]
    assert pair.here["b"][0] is pair.here["x"]
    pair.run("b.append(0); a[0].append(1); b[0].append(1)", "a", "b")
    assert pair.here["b"][0] is pair.here["x"]
    assert (pair.here["x"], pair.here["y"]) == (["x", 1], ["y", 1])


@pytest.mark.parametrize("change", ["y.append(2)", "big[5] = 1"])
def test_a_change_not_yet_told_survives_a_merge_into_the_same_name(pair, change):
    """A remote cell that changes a part of `y` does not make the notebook's own change of `y` pass for told."""
    pair.remote_exec("import numpy as np\nx = [1]; big = np.zeros(40_000); y = [x, big]")
    pair.collect("x", "big", "y")
    pair.cell(change)
    pair.ship("x")
    pair.remote_exec("x.append(3)")
    pair.collect("x")
    pair.ship("y")
    assert repr(pair.there["y"]) == repr(pair.here["y"])
    assert pair.there["y"][1].sum() == pair.here["y"][1].sum()
    assert pair.here["x"] == pair.there["y"][0] == [1, 3]


FIXED = {
    "tuple": ("x = (1, 'a')", "x"),
    "tuple with a list": ("x = ([1], 'a')", "x"),
    "tuple in a tuple in a list": ("x = (1, (2, [3])); box = [x]", "x, box"),
    "frozenset": ("x = frozenset({1, 2})", "x"),
    "namedtuple": ("from collections import namedtuple\nP = namedtuple('P', 'x y'); x = P(1, [2])", "x"),
    "frozen dataclass": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    t: tuple = ()\nx = P((1, 2))", "x"
    ),
    "datetime": ("import datetime; x = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)", "x"),
    "path": ("import pathlib; x = pathlib.Path('a/b')", "x"),
    "tuple of a bound method": ("class C:\n    def m(self): return 1\nx = (C().m, range(3))", "x"),
}  # fmt: skip


@pytest.mark.parametrize("make, read", FIXED.values(), ids=FIXED)
def test_what_cannot_change_is_the_same_object_afterwards(pair, make, read):
    """Handed on to a new name, into containers, as a key, as a result: it is the object that the notebook has."""
    pair.cell(make)
    mine = pair.here["x"]
    pair.ship(*read.split(", "))
    pair.remote_exec("u = x; boxes = [x, {'k': x}, (x,)]")
    pair.collect(result=pair.there["x"], has_result=True)
    assert all(each is mine for each in (pair.here["x"], pair.here["u"], pair.result, pair.here["boxes"][0]))
    assert pair.here["boxes"][1]["k"] is mine
    assert pair.here["boxes"][2][0] is mine
    made = pair.here["boxes"][2]
    pair.run("again = boxes[2], x", "boxes", "x")
    assert pair.here["again"][0] is made
    assert pair.here["again"][1] is mine


def test_keys_and_members_that_cannot_change_stay_the_same_objects(pair):
    """A dict and a set that a run changed hold the very tuples that they held."""
    pair.cell("t = (1, 2); d = {t: 'old'}; s = {t, frozenset(t)}")
    pair.run("d[3, 4] = 'new'; s.add(5)", "d", "s")
    mine = pair.here["t"]
    assert next(iter(pair.here["d"])) is mine
    assert any(each is mine for each in pair.here["s"])


def test_a_tuple_is_a_new_one_when_what_is_in_it_was_replaced(pair):
    """An object that no merge can change comes anew, and with it the tuples that hold it."""
    pair.cell("import array\na = array.array('i', [1]); t = ((a,), 'x')")
    pair.run("a.append(2)", "a", "t")
    assert pair.here["t"][0][0].tolist() == [1, 2]
    assert pair.here["t"][0][0] is pair.here["a"]


def test_a_list_in_a_tuple_that_is_handed_on_is_merged(pair):
    """A tuple that goes as its number takes along the states of what is in it."""
    pair.cell("inner = {'k': [1]}; t = (inner, range(2))")
    pair.run("inner = t[0]; u = t; inner['k'].append(u)", "t")
    assert pair.here["inner"]["k"] == [1, pair.here["t"]]
    assert pair.here["u"] is pair.here["t"]


def test_a_large_value_that_shares_only_a_tuple_stays_there(pair):
    """What cannot change may be on both sides; it neither brings a large value here nor stays there with it."""
    pair.cell("shape = (1000, 1000)")
    pair.run("new = (1, 2); big = {'shape': shape, 'new': new, 'data': bytes(1 << 21)}", "shape")
    assert type(pair.here["big"]).__name__ == "Ref"
    assert pair.here["new"] == (1, 2)


@pytest.mark.parametrize("change", ["x.add(10)", "x.discard(2); x.add(18)", "x.add(9); x.add(17)", "x.update(range(0, 400, 7))"])
def test_a_set_that_changed_is_walked_in_the_same_order(pair, change):
    """Members that make way for others in the hash table do so here too."""
    pair.cell("x = {1, 2, 3}")
    pair.run(change, "x")
    assert list(pair.here["x"]) == list(pair.there["x"])


def test_objects_nobody_reaches_are_dropped_on_both_sides(pair):
    """A long session does not hold on to what no name reaches any more."""
    for value in range(5):
        pair.cell(f"a = [[{value}], [{value}]]")
        pair.ship("a")
    pair.collect()
    pair.ship("a")
    numbers = [set(side._table.objects) - {BUILTINS} for side in (pair.local, pair.remote)]
    assert len(numbers[0]) == len(numbers[1]) == 3


@pytest.mark.parametrize("change", ["del a", "a = None", "a[0] = None"])
def test_what_a_run_takes_away_is_let_go_of_at_once(pair, change):
    """Deleted, rebound or taken out: both sides forget it with the run's own reply, and what else was there stays known."""
    pair.cell("class Big: pass\na = [Big()]; kept = [1]")
    pair.ship("a", "kept")
    pair.remote_exec("import weakref; ref = weakref.ref(a[0])")
    kept = pair.there["kept"]
    pair.remote_exec(change)
    pair.collect("a", "kept")
    pair.last = None  # the payload holds what it was made of
    assert pair.there["ref"]() is None
    assert set(pair.local._table.objects) == set(pair.remote._table.objects)
    pair.run("kept.append(2)", "kept")
    assert pair.there["kept"] is kept and pair.here["kept"] == [1, 2]


def test_what_a_local_cell_takes_away_is_let_go_of_by_the_next_run(pair):
    """The same for what the notebook deletes: the target's copy ends with the shipment that says so."""
    pair.cell("class Big: pass\na = Big(); kept = [1]")
    pair.ship("a", "kept")
    pair.remote_exec("import weakref; ref = weakref.ref(a)")
    pair.cell("del a")
    pair.ship("kept")
    assert pair.there["ref"]() is None
    assert set(pair.local._table.objects) == set(pair.remote._table.objects)


def test_what_one_side_gives_up_can_be_named_until_the_other_is_told(pair):
    """The two sides do not always reach the same objects: one may still use a number that the other is about to drop."""
    pair.cell("a = [[1]]")
    pair.ship("a")
    there = pair.there["a"]
    pair.remote.forget(["a"])
    pair.remote._ledger.drop_unheld()
    pair.cell("a[0].append(2)")
    pair.ship("a")
    assert pair.there["a"] is there and there == [[1, 2]]
    pair.run("a[0].append(3)", "a")
    assert pair.here["a"] == [[1, 2, 3]]
    pair.run("a = None", "a")
    pair.ship("a")
    assert set(pair.local._table.objects) == set(pair.remote._table.objects) == {BUILTINS}


def test_module_travels_as_an_import(pair):
    """An imported module is imported there."""
    pair.cell("import json as j")
    pair.ship("j")
    assert pair.there["j"] is pair.here["j"]


def test_a_dict_that_exec_ran_in_travels(pair):
    """`exec` puts the builtins into it, whatever the kernel has put there; they are each side's own."""
    pair.cell("import builtins; builtins.farcell_tested = iter(())  # as the kernel's own input(), which cannot travel")
    try:
        pair.cell("space = {'a': []}; exec('b = len(a)', space); held = [space, builtins, space['__builtins__']]")
        pair.run("exec('a.append(b); c = a', space); again = space", "space", "held")
        assert pair.there["space"]["__builtins__"] is pair.there["held"][2] is vars(builtins)
        assert pair.here["again"] is pair.here["space"] is pair.here["held"][0]
        space = {**pair.here["space"]}
        assert space.pop("__builtins__") is vars(builtins)
        assert space == {"a": [0], "b": 0, "c": [0]}
        pair.cell("exec('a.append(1)', space)")
        pair.ship("space", "held")
        assert pair.there["space"]["c"] == [0, 1]
        pair.ship("space", "held")
        assert pair.last.is_empty
    finally:
        del builtins.farcell_tested


def test_what_a_base_class_holds_is_merged_through_its_subclass(pair):
    """The base, and the metaclass, need no name of their own in the cell."""
    pair.cell(
        "class Meta(type): made = []\nclass Base(metaclass=Meta): seen = []\nclass Sub(Base): pass\nbase, meta = Base, Meta"
    )
    pair.ship("Sub")
    pair.run("Sub.seen.append(1); type(Sub).made.append(2); Sub.__mro__[1].extra = 3", "Sub")
    assert (pair.here["base"].seen, pair.here["meta"].made, pair.here["base"].extra) == ([1], [2], 3)


def test_what_is_registered_with_an_abstract_class_later_is_told(pair):
    """`isinstance` answers alike on both sides."""
    pair.cell("import abc\nclass Walker(abc.ABC): pass\nclass Dog: pass\nclass Cat: pass")
    pair.ship("Walker", "Dog", "Cat")
    pair.run("Walker.register(Dog)", "Walker", "Dog")
    assert issubclass(pair.here["Dog"], pair.here["Walker"])
    pair.cell("Walker.register(Cat)")
    pair.run("seen = issubclass(Cat, Walker)", "Walker", "Cat")
    assert pair.here["seen"] is True


def test_a_comparison_function_as_a_key_travels(pair):
    """What `cmp_to_key` gives sorts there as here."""
    pair.cell("import functools\nkey = functools.cmp_to_key(lambda one, other: other - one); three = key(3)")
    pair.run("down = sorted([1, 3, 2], key=key); less = three < key(2)", "key", "three")
    assert (pair.here["down"], pair.here["less"]) == ([3, 2, 1], True)


@pytest.mark.parametrize(
    ("code", "inert"),
    [
        ("x = 1", True),
        ("x = {'a': [1.5, 'text', None], 'b': (True, b'bytes')}", True),
        ("x = range(3)", False),
        ("import math; x = math", False),
        ("class A: pass\nx = A()", False),
        ("def x(): pass", False),
    ],
)
def test_plain_data_is_known_to_call_nothing_when_it_is_decoded(pair, code, inert):
    """So nothing need be guarded against what a library does as it is imported."""
    pair.cell(code)
    pair.ship("x")
    assert is_inert(pair.last) is inert


def test_what_goes_by_its_number_may_be_called(pair):
    pair.cell("class A: pass\nx = [A]")
    pair.ship("x")
    pair.cell("x = [A()]")
    pair.ship("x")
    assert not is_inert(pair.last)
