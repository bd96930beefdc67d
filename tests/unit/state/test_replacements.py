"""An object that nothing can set gets a successor wherever it is held."""

from __future__ import annotations


def test_an_iterator_that_cannot_be_set_is_replaced_wherever_it_is(pair):
    """Names, lists, dicts, tuples, attributes, closures and other iterators go on with the successor."""
    pair.cell(
        "class Box: pass\ndef reader():\n    source = e\n    return lambda: next(source)\n"
        "e = enumerate('abcdef'); again = e; xs = [e]; d = {'k': e}; t = (e, 1); box = Box(); box.e = e; read = reader()\n"
        "z = zip(e, [7, 8, 9])"
    )
    pair.run("first = next(e)", "e")
    here = pair.here
    assert here["first"] == (0, "a")
    holders = (here["again"], here["xs"][0], here["d"]["k"], here["t"][0], here["box"].e)
    assert all(each is here["e"] for each in holders)
    assert here["read"]() == (1, "b") and next(here["z"]) == ((2, "c"), 7) and next(here["e"]) == (3, "d")


def test_what_cannot_be_given_the_successor_is_told(pair):
    """It keeps the old one."""
    pair.cell("import operator\ne = enumerate('ab'); held = operator.methodcaller('send', e)")
    pair.run("next(e)", "e")
    assert pair.returned.left == ["operator.methodcaller"]
    assert next(pair.here["e"]) == (1, "b")


def test_positions_of_iterators_are_set_in_place(pair):
    """Over lists, strings and ranges; one that has ended stays so."""
    pair.cell("xs = [1, 2, 3]; i = iter(xs); j = i; s = iter('ab'); r = iter(range(5)); ended = iter([1])")
    i, s, r = (pair.here[name] for name in "isr")
    pair.run("next(i); next(s); next(r); list(ended); xs.append(4)", "i", "s", "r", "ended", "xs")
    assert (pair.here["i"], pair.here["j"], pair.here["s"], pair.here["r"]) == (i, i, s, r)
    assert (list(i), list(s), list(r), list(pair.here["ended"])) == ([2, 3, 4], ["b"], [1, 2, 3, 4], [])


def test_streams_and_arrays_of_numbers_change_in_place(pair):
    """Files in memory with their position, closed ones, and array.array."""
    pair.cell("import io, array\nb = io.BytesIO(b'ab'); t = io.StringIO(); a = array.array('i', [1]); done = io.BytesIO()")
    b, t, a, done = (pair.here[name] for name in ("b", "t", "a", "done"))
    pair.run("b.seek(0, 2); b.write(b'c'); t.write('x'); a.append(2); done.close()", "b", "t", "a", "done")
    assert (b.getvalue(), b.tell(), t.getvalue(), a.tolist(), done.closed) == (b"abc", 3, "x", [1, 2], True)


def test_patterns_and_matches_travel(pair):
    """A pattern is the one that re.compile gives, a match is found once more."""
    pair.cell("import re\np = re.compile('(?i)b(.)'); m = p.search('abc ABD'); second = list(p.finditer('abc ABD'))[1]")
    pair.run("same = p is re.compile('(?i)b(.)'); groups = m.group(1), second.span(), m.re is p", "p", "m", "second", "re")
    assert pair.here["same"] and pair.here["groups"] == ("c", (5, 7), True)
    assert pair.here["m"].re is pair.here["p"]


def test_what_holds_an_iterator_too_deep_is_told(pair):
    """Looking for holders ends, however many tuples stand around what is replaced."""
    pair.cell("e = enumerate('ab'); t = (e,)\nfor _ in range(100): t = (t,)")
    pair.run("next(e)", "e")
    assert pair.returned.left == ["tuple"]
    assert next(pair.here["e"]) == (1, "b")
