"""What functools.lru_cache keeps is part of the function: the other side finds it cached."""

from __future__ import annotations

import functools

import pytest
from farcell_host.state.caches import entries, fill


def test_a_cache_is_read_and_filled_without_running_the_function():
    """Arguments of every form, in the order of use, with hits and misses; closures and defaults are no obstacle."""
    calls = []

    def made(maxsize, typed):
        @functools.lru_cache(maxsize, typed)
        def cached(x, *more, key=None, **others):
            calls.append(x)
            return [x, more, key, others]

        return cached

    for maxsize in (None, 3, 128):
        for typed in (False, True):
            one, other = made(maxsize, typed), made(maxsize, typed)
            for _ in range(2):
                one(1), one("a"), one((1, 2)), one(1.5, 2, key=object), one(1, z=3, key=2)
            one((1, 2))
            found = list(entries(one))
            assert len(found) == one.cache_info().currsize
            calls.clear()
            fill(other, found, one.cache_info().hits, one.cache_info().misses)
            assert other.cache_info() == one.cache_info() and list(entries(other)) == found
            assert all(other(*positional, **keywords) is result for positional, keywords, result in found)
            assert calls == []
            assert other("fresh") == ["fresh", (), None, {}]


def test_what_was_cached_here_is_cached_there_and_back(pair):
    """Neither side runs the function again, and the wrapper stays the object that it was."""
    pair.cell(
        "import functools\ncalls = []\n@functools.lru_cache(8)\ndef f(x):\n    calls.append(x)\n    return [x]\ng = f; one = f(1)"
    )
    f = pair.here["f"]
    pair.run("two = f(2); same = f(1) is one", "f", "one", "calls", "g")
    assert pair.here["same"] is True and pair.here["calls"] == [1, 2]
    assert pair.here["f"] is pair.here["g"] is f
    assert f.cache_info() == (1, 2, 8, 2)
    assert f(1) is pair.here["one"] and f(2) is pair.here["two"] and pair.here["calls"] == [1, 2]
    pair.run("f.cache_clear()", "f", "g")
    assert f.cache_info() == (0, 0, 8, 0)
    pair.ship("f", "g")
    assert not pair.last.header["streams"]


def test_what_cannot_travel_stays_cached_where_it_is(pair):
    """The function travels all the same, and neither side loses an entry of its own."""
    pair.cell(
        "import functools, threading\n@functools.cache\ndef f(x): return threading.Lock() if x else 'plain'\nlock = f(1); f(0)"
    )
    pair.run("info = f.cache_info(); f(2); f(2)", "f")
    assert pair.here["info"] == (0, 2, None, 1)
    assert pair.here["f"](1) is pair.here["lock"]
    pair.run("f.cache_clear()", "f")
    assert pair.here["f"].cache_info().currsize == 0


def test_methods_with_a_cache_and_caches_of_themselves(pair):
    """Instances among the keys; a cache that holds its own function."""
    pair.cell(
        "import functools\nclass C:\n    @functools.cache\n    def twice(self): return [self] * 2\n"
        "@functools.cache\ndef me(): return me\nc = C(); kept = c.twice(); me()"
    )
    pair.run("same = c.twice() is kept and me() is me", "c", "C", "kept", "me")
    assert pair.here["same"] is True
    assert pair.here["c"].twice() is pair.here["kept"] and pair.here["C"].twice.cache_info().hits == 2
    assert pair.here["me"]() is pair.here["me"] and pair.here["me"].cache_info().misses == 1


@pytest.mark.parametrize("under", ["len", "functools.partial(max, (0,))"])
def test_a_cache_over_what_is_no_python_function_stays_behind(pair, under):
    """It cannot be filled without calling."""
    pair.cell(f"import functools\nf = functools.lru_cache(4)({under}); f((1,))")
    pair.run("info = f.cache_info(); g = f", "f")
    assert pair.here["info"].currsize == 0
    assert pair.here["g"] is pair.here["f"] and pair.here["f"].cache_info().currsize == 1
