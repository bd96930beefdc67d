"""Values that stay on the target, and come when asked for."""

from __future__ import annotations

from farcell_host.state import RESULT, RefBase
from farcell_host.state.refs import is_ref

from .conftest import over_the_wire


def test_large_new_value_stays_as_a_ref(pair):
    """What is born on the target and large stays there; a small neighbour comes back."""
    pair.remote_exec("import numpy as np\nbig = np.zeros((1000, 300)); small = [1]")
    pair.collect("big", "small", limit_bytes=10_000)
    ref = pair.here["big"]
    assert isinstance(ref, RefBase)
    info = ref.info
    assert (info.type, info.module, info.shape, info.dtype) == ("ndarray", "numpy", [1000, 300], "float64")
    assert info.size_bytes >= 2_400_000
    assert info.reason == "larger than 10000 bytes"
    assert pair.here["small"] == [1]


def test_ref_travels_back_as_the_real_value(pair):
    """A ref in a list, or under another name, is the real value on the target."""
    pair.remote_exec("g = (x for x in [1, 2])")
    pair.collect("g")
    assert pair.here["g"].info.type == "generator"
    pair.cell("box = [g]; other = g")
    pair.ship("box", "other", "g")
    assert pair.there["box"][0] is pair.there["g"]
    assert pair.there["other"] is pair.there["g"]
    pair.remote_exec("box.append(next(g))")
    pair.collect()
    assert pair.here["box"] == [pair.here["g"], 1]


def test_kept_value_is_not_sent_again_and_again(pair):
    """A ref costs nothing while it stays."""
    pair.remote_exec("data = list(range(1000))")
    pair.collect("data", keep=["data"])
    assert isinstance(pair.here["data"], RefBase)
    assert pair.here["data"].info.reason == "kept on the target"
    pair.ship("data")
    pair.collect("data")
    assert pair.last.is_empty


def test_pull_brings_the_value(pair):
    """Asked for, a kept value comes whole, is an ordinary value from then on, and merges in place."""
    pair.remote_exec("data = [1, 2]")
    pair.collect("data", keep=["data"])
    pair.collect("data", out=["data"])
    data = pair.here["data"]
    assert data == [1, 2]
    pair.run("data.append(3)", "data")
    assert pair.here["data"] is data
    assert data == [1, 2, 3]


def test_a_changed_value_the_notebook_holds_comes_back_however_large(pair):
    """The limit is for new values only: other references hold this one."""
    pair.cell("a = [0]")
    pair.run("a.extend(range(10_000))", "a", limit_bytes=100)
    assert len(pair.here["a"]) == 10_001


def test_large_result_becomes_a_ref(pair):
    """A large result shows as a ref and is not bound to a name."""
    pair.collect("x", result=bytearray(100_000), has_result=True, limit_bytes=1000)
    assert isinstance(pair.result, RefBase)
    assert RESULT not in pair.here


def test_an_object_that_cannot_come_stays_beside_what_can(pair):
    """A lock made remotely stays; the rest of the cell's work comes."""
    pair.remote_exec("import threading\nlock = threading.Lock(); n = 5")
    pair.collect("lock", "n")
    assert pair.here["n"] == 5
    assert pair.here["lock"].info.reason.startswith("lock: a lock")


def test_a_module_that_only_the_target_has_stays_usable_there(pair, tmp_path, monkeypatch):
    """`import cupy` in a remote cell works for later remote cells, though the notebook's machine has no cupy."""
    import sys

    (tmp_path / "only_there.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    pair.remote_exec("import only_there as o, json")
    payload = pair.remote.pack(pair.remote.collect(["o", "json"], limit_bytes=1 << 20))
    pair.remote.sent(payload)
    with monkeypatch.context() as here:
        here.setattr(sys, "path", [each for each in sys.path if each != str(tmp_path)])
        here.delitem(sys.modules, "only_there")
        pair.local.apply(pair.local.unpack(over_the_wire(payload)))
    assert pair.here["o"].info.preview == "<module 'only_there'>"
    assert pair.here["json"] is pair.there["json"]
    pair.run("seen = o.answer", "o")
    assert pair.here["seen"] == 42


def test_a_class_comes_although_its_instance_stays(pair):
    """Fetched later, the instance is one of the notebook's class."""
    pair.run(
        "class Model:\n    def __init__(self): self.w = bytearray(3 << 20)\nm = Model(); ms = [m]\ndef size(x): return len(x.w)"
    )
    assert is_ref(pair.here["m"]) and is_ref(pair.here["ms"])
    pair.collect("m", "ms", out=["m", "ms"])
    assert type(pair.here["m"]) is pair.here["Model"] and pair.here["ms"][0] is pair.here["m"]
    assert pair.here["size"](pair.here["m"]) == 3 << 20


def test_what_shares_data_with_a_kept_value_stays_too(pair):
    """And nothing else does; one value has one ref, under however many names."""
    pair.run("m = [1]; same = m; box = {'m': m}; other = [2]; n = 3; k = 4", keep=["m", "n"])
    assert [name for name, value in pair.here.items() if is_ref(value)] == ["m", "same", "box", "n"]
    assert pair.here["m"] is pair.here["same"] is not pair.here["box"]
    pair.collect("m", "same", "box", out=["m", "same", "box"])
    assert pair.here["box"]["m"] is pair.here["m"] is pair.here["same"]


def test_what_a_value_that_stays_shares_with_another_name_is_the_same_on_both_sides(pair):
    """The name is not read by the cells that change it through the value, or that read it there."""
    pair.cell("class Model: v = 0\nclass Problem: pass")
    pair.run("import threading\np = Problem(); p.lock = threading.Lock(); p.model = model = Model()", "Problem", "Model")
    assert isinstance(pair.here["p"], RefBase) and type(pair.here["model"]).__name__ == "Model"
    pair.run("p.model.v = 5", "p")
    assert pair.here["model"].v == 5
    pair.here["model"].v = 6
    pair.run("seen = p.model.v", "p")
    assert pair.here["seen"] == 6
