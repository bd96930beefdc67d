"""Weak dictionaries and sets, views of mappings, and the functions that functools builds from them."""

from __future__ import annotations

import gc
import weakref


def test_weak_containers_hold_what_is_named(pair):
    """Filled, changed in place, and still weak."""
    pair.cell(
        "import weakref\nclass C: pass\na, b = C(), C()\n"
        "by_key = weakref.WeakKeyDictionary({a: [1]}); by_value = weakref.WeakValueDictionary(a=a); some = weakref.WeakSet([a])"
    )
    names = ("a", "b", "by_key", "by_value", "some", "C")
    by_key, by_value, some = (pair.here[name] for name in names[2:5])
    pair.run("by_key[b] = by_key[a]; by_value['b'] = b; some.add(b); some.discard(a)", *names)
    assert by_key is pair.here["by_key"] and by_value is pair.here["by_value"] and some is pair.here["some"]
    a, b = pair.here["a"], pair.here["b"]
    assert by_key[b] is by_key[a] == [1] and dict(by_value) == {"a": a, "b": b} and list(some) == [b]
    pair.run("del b", *names)
    del b
    gc.collect()
    pair.ship("a", "C")
    assert pair.here["a"] is a


def test_a_weak_reference_looks_at_the_object_there(pair):
    """References and proxies, alone or in a cycle; Python has one reference without a callback per object."""
    pair.cell(
        "import weakref\nclass C:\n    def grow(self): self.n += 1\na = C(); a.n = 0; a.me = weakref.ref(a)\n"
        "ref, proxy, method = weakref.ref(a), weakref.proxy(a), weakref.WeakMethod(a.grow)\ngone = weakref.ref(C())"
    )
    names = ("ref", "proxy", "method", "gone")
    a, before = pair.here["a"], [pair.here[name] for name in names]
    pair.run("ref().n += 1; proxy.n += 1; method()(); same = ref() is ref().me(); dead = gone() is None", *names)
    assert (a.n, pair.here["same"], pair.here["dead"]) == (3, True, True)
    assert [pair.here[name] for name in names if name != "proxy"] == [
        each for each in before if type(each) is not type(before[1])
    ]
    assert pair.here["ref"] is a.me is weakref.ref(a)
    pair.run("b = C(); b.n = 0; later = weakref.ref(b)", "C", "weakref")
    assert pair.here["later"]() is pair.here["b"]


def test_what_loses_its_name_dies_on_both_sides(pair):
    """A reference that both sides have does not keep alive what it leads to; one alone does, as long as it is known."""
    pair.cell(
        "import weakref\nclass C: pass\na, b = C(), C()\nref, one, some = weakref.ref(a), weakref.ref(b), weakref.WeakSet([a, b])"
    )
    pair.ship("a", "ref", "some", "one")
    there = pair.there["ref"]
    assert there() is pair.there["a"]
    pair.cell("del a")
    pair.run("gone = ref() is None; left = len(some)", "ref", "some", "one")
    assert (pair.here["gone"], pair.here["ref"](), there(), pair.here["left"]) == (True, None, None, 1)
    assert pair.there["one"]() is not None and pair.here["one"]() is pair.here["b"]
    pair.run("a = C(); kept = weakref.ref(a)", "C", "weakref")
    pair.ship("kept", "a")
    pair.remote_exec("del a")
    pair.collect("kept", "a")
    pair.run("gone = kept() is None", "kept")
    assert pair.here["gone"] and pair.here["kept"]() is None and "a" not in pair.here


def test_a_view_of_a_mapping_goes_on_looking_at_it(pair):
    """A mappingproxy is no copy."""
    pair.cell("import types\nd = {}\nview = types.MappingProxyType(d)")
    pair.run("new = {}; seen = types.MappingProxyType(new); d['x'] = 1; there = view['x']", "d", "view", "types")
    pair.here["new"]["y"] = 2
    assert (pair.here["there"], dict(pair.here["view"]), dict(pair.here["seen"])) == (1, {"x": 1}, {"y": 2})


def test_a_single_dispatch_function_takes_another_case_on_either_side(pair):
    """Its registry is one on both sides, and the function stays what it was."""
    pair.cell(
        "import functools\n@functools.singledispatch\ndef show(x): return 'any'\n@show.register(int)\n"
        "def of_int(x): return 'int'\nalias = show\nshow(1)"
    )
    show = pair.here["show"]
    pair.run("@show.register(list)\ndef of_list(x): return [show(each) for each in x]\nnow = show([1, 'a'])", "show", "alias")
    assert pair.here["now"] == ["int", "any"]
    assert pair.here["show"] is pair.here["alias"] is show
    assert show([1, "a"]) == ["int", "any"] and show.registry[list] is pair.here["of_list"]
    pair.cell("@show.register(str)\ndef of_str(x): return 'str'")
    pair.run("then = show(['a'])", "show", "alias", "of_list")
    assert pair.here["then"] == ["str"]
