"""Classes with a way of their own into a pickle: nothing shows that an instance travelled, unless it could not otherwise."""

from __future__ import annotations

import pytest

STATE = """
class State:
    def __init__(self): self.keep = [1]; self.drop = 'here'
    def __getstate__(self): return {'keep': self.keep}
    def __setstate__(self, state): self.__dict__.update(state); self.drop = 'restored'
"""
COUNTER = """
import threading
class Counter:
    def __init__(self, state): self.n = 0; self.lock = threading.Lock(); self.state = state
    def __getstate__(self): return {'n': self.n, 'state': self.state}
    def __setstate__(self, given):
        self.__init__(given['state']); self.n = given['n']
"""


def test_an_instance_travels_whole(pair):
    """There and back, new and known, past its class' own way."""
    pair.cell(f"{STATE}\ns = State()")
    known = pair.here["s"]
    pair.run("seen = s.drop; s.drop = 'there'; s.more = s; t = State()", "s", "State")
    assert pair.here["seen"] == "here" and pair.here["t"].drop == "here"
    assert pair.here["s"] is known is known.more and known.drop == "there"


def test_what_cannot_travel_is_left_to_its_class(pair):
    """A lock that the class leaves out stays the notebook's own; what is inside goes whole all the same."""
    pair.cell(f"{STATE}{COUNTER}\nc = Counter(State()); d = Counter(None); d.lock = c.lock")
    counter, lock = pair.here["c"], pair.here["c"].lock
    for n in (1, 2):
        pair.run(f"with c.lock: c.n = {n}; c.state.drop = 'there'", "c", "d")
        assert pair.here["c"] is counter and counter.n == n
        assert counter.lock is lock is pair.here["d"].lock and counter.state.drop == "there"
    pair.ship("c", "d")
    assert pair.last.is_empty


def test_methods_of_a_list_and_a_dict_are_not_called(pair):
    """What they hold is what lies below the notebook's own `append`, `items`, `__setitem__`."""
    pair.cell(
        "class Log(dict):\n    def __init__(self): self.seen = []\n"
        "    def __setitem__(self, key, value): self.seen.append(key); dict.__setitem__(self, key, value)\n"
        "    def items(self): return []\n"
        "class Twice(list):\n    def append(self, item): list.append(self, item * 2)\n    def __iter__(self): return iter([])\n"
        "log = Log(); log['a'] = 1; twice = Twice(); twice.append(1)"
    )
    pair.run(
        "log['b'] = 2; twice.append(2); other = Log(); other['x'] = 1; more = Twice(); more.append(3)",
        "log",
        "twice",
        "Log",
        "Twice",
    )
    assert dict.copy(pair.here["log"]) == {"a": 1, "b": 2} and pair.here["log"].seen == ["a", "b"]
    assert list.copy(pair.here["twice"]) == [2, 4] and list.copy(pair.here["more"]) == [6]
    assert dict.copy(pair.here["other"]) == {"x": 1} and pair.here["other"].seen == ["x"]


def test_a_new_instance_is_made_past_its_new(pair):
    """Which may ask for arguments, or count."""
    new = "self = object.__new__(cls); cls.made.append(n); self.n = n; return self"
    pair.cell(f"class Made:\n    made = []\n    def __new__(cls, n): {new}")
    pair.run("two = Made(2)", "Made")
    assert pair.here["two"].n == 2 and pair.here["Made"].made == [2]


class Given(dict):
    """Of a package, as far as the exchange can see."""

    def __setstate__(self, state):
        self.state = dict(state)


def test_items_of_a_dict_with_a_state_of_its_own_are_merged(pair):
    """`__setstate__` of a package's class is asked, and given what is around them."""
    given = pair.here["given"] = Given(a=1)
    given.mark = 1
    pair.run("given['b'] = given; given.mark = 2", "given")
    assert pair.here["given"] is given and given["b"] is given and given.state["mark"] == 2


def test_classes_of_packages_that_leave_out_what_shows(pair):
    """Cached properties of networks, a Bunch's attributes."""
    pair.cell("import ipaddress\nnet = ipaddress.ip_network('10.0.0.0/30')")
    pair.run("mask = net.hostmask", "net")
    assert vars(pair.here["net"])["hostmask"] is pair.here["mask"]


def test_a_jitted_function_keeps_its_name(pair):
    """And what it wraps: jax leaves both out."""
    pytest.importorskip("jax", reason="optional: jax is not installed")
    pair.cell("import jax\n@jax.jit\ndef double(x): return x * 2\nplain = double.__wrapped__")
    pair.run("four = float(double(2.0)); again = double", "double", "plain")
    assert pair.here["four"] == 4 and pair.here["again"] is pair.here["double"]
    assert pair.there["double"].__name__ == "double" and pair.there["double"].__wrapped__ is pair.there["plain"]
