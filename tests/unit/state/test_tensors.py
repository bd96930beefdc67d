"""torch on the CPU: what a user sees of tensors that travel. torch's packages take gigabytes: without them these are left out."""

from __future__ import annotations

from typing import Any

import pytest
from farcell_host.state import CannotTravel

torch: Any = pytest.importorskip("torch", reason="optional: torch is not installed")


def test_a_view_and_its_base_share_memory_on_both_sides(pair):
    """Changed there through one, seen here through the other, and through names that did not travel."""
    pair.cell("import torch\nbase = torch.arange(6.0); view = base[2:4]; kept = [base]; lent = base.numpy()")
    base = pair.here["base"]
    pair.run("view += 1", "base", "view")
    assert pair.here["base"] is base
    assert base.tolist() == [0, 1, 3, 4, 4, 5]
    assert pair.here["lent"].tolist() == base.tolist()
    pair.run("lent[0] = 9; seen = base[0].item()", "lent", "base")
    assert pair.here["seen"] == 9
    assert pair.here["kept"][0][0] == 9


def test_only_changed_pieces_of_a_storage_are_sent(pair):
    """Both ways; nothing of an unchanged one."""
    pair.cell("import torch\nbig = torch.zeros(1_000_000)")
    pair.ship("big")
    assert 4_000_000 <= pair.last.total_bytes < 4_002_000
    pair.ship("big")
    assert pair.last.is_empty
    pair.cell("big[5] = 1")
    pair.ship("big")
    assert pair.last.total_bytes < 1_100_000
    assert pair.there["big"][5] == 1
    there = pair.there["big"]
    pair.run("big[-1] = 7", "big")
    assert pair.last.total_bytes < 1_100_000
    assert pair.here["big"][-1] == 7
    assert pair.there["big"] is there


def test_training_there_is_training_here(pair):
    """Parameters, tied modules and the optimizer's state stay the objects they are, and take the steps."""
    pair.cell(
        "import torch\nlin = torch.nn.Linear(2, 2); w = lin.weight; tied = torch.nn.ModuleDict({'a': lin, 'b': lin})\n"
        "opt = torch.optim.SGD(lin.parameters(), lr=0.1, momentum=0.9)"
    )
    weight = pair.here["w"]
    before = weight.detach().clone()
    step = "opt.zero_grad(); lin(torch.ones(3, 2)).pow(2).sum().backward(); opt.step()"
    pair.run(f"import torch\n{step}", "lin", "opt", "tied")
    assert pair.here["w"] is weight is pair.here["lin"].weight is pair.here["tied"]["b"].weight
    assert not torch.equal(weight, before)
    assert pair.here["opt"].param_groups[0]["params"][0] is weight
    assert torch.equal(weight.grad, pair.there["lin"].weight.grad)
    middle = weight.detach().clone()
    pair.cell(step)
    pair.run("same = torch.equal(lin.weight, lin.weight)", "lin", "opt")
    assert torch.equal(pair.there["lin"].weight, pair.here["lin"].weight)
    assert not torch.equal(middle, weight)


def test_every_kind_of_tensor_arrives(pair):
    """Types, shapes, strides, empty and zero-dimensional ones, sparse ones."""
    pair.cell(
        "import torch\ntypes = torch.bool, torch.int8, torch.float16, torch.bfloat16, torch.complex64\n"
        "many = [torch.ones(2, dtype=each) for each in types]\n"
        "many += [torch.ones(3, 4).T, torch.zeros(0), torch.tensor(5), torch.arange(3.0).expand(4, 3)]\n"
        "many += [torch.eye(3).to_sparse()]\n"
        "many += [torch.nn.Parameter(torch.ones(2), requires_grad=False), torch.ones(2, requires_grad=True)]"
    )
    pair.ship("many")
    for here, there in zip(pair.here["many"], pair.there["many"], strict=True):
        assert (type(there), there.dtype, there.shape, there.layout) == (type(here), here.dtype, here.shape, here.layout)
        assert there.requires_grad == here.requires_grad
        assert torch.equal(here.to_dense(), there.to_dense())
        if here.layout == torch.strided:
            assert there.stride() == here.stride()


def test_new_data_attributes_and_gradients_are_merged(pair):
    """`x.data = ...` changes the tensor that every name has."""
    pair.cell("import torch\nz = torch.zeros(3); other = z; q = torch.ones(2, requires_grad=True); (q * 2).sum().backward()")
    pair.run("import torch\nz.data = torch.ones(5, dtype=torch.int64); z.tag = 'x'; q.grad += 1", "z", "q")
    assert pair.here["other"].tolist() == [1] * 5
    assert pair.here["other"].tag == "x"
    assert pair.here["q"].grad.tolist() == [3, 3]


def test_a_generator_goes_on(pair):
    """The draws there count here."""
    pair.cell("import torch\ng = torch.Generator().manual_seed(3)")
    generator = pair.here["g"]
    pair.run("import torch\nr = torch.rand(2, generator=g)", "g")
    expected = torch.Generator().manual_seed(3)
    torch.rand(2, generator=expected)
    assert torch.equal(torch.rand(2, generator=generator), torch.rand(2, generator=expected))


def test_a_tensor_with_a_history_stays_where_it_is(pair):
    """Refused on the way there; made there it is a ref."""
    pair.cell("import torch\nloss = (torch.ones(2, requires_grad=True) * 2).sum()")
    with pytest.raises(CannotTravel, match=r"loss: a tensor that remembers how it was computed \(grad_fn\)"):
        pair.ship("loss")
    pair.remote_exec("import torch\nout = torch.ones(2, requires_grad=True) * 2; value = out.detach()")
    pair.collect("out", "value")
    assert "grad_fn" in pair.here["out"].info.reason
    assert pair.here["value"].tolist() == [2, 2]


@pytest.mark.parametrize("nested", ["a", "a[2:5]", "a.reshape(2, 4)[:, 1]"])
def test_a_tensor_over_an_array_goes_on_looking_at_it(pair, nested):
    """`torch.from_numpy`: written through either of them, on either side."""
    pair.cell(f"import numpy as np, torch\na = np.zeros(8); t = torch.from_numpy({nested}); u = t[1:]")
    array, tensor = pair.here["a"], pair.here["t"]
    pair.run("t += 1", "t")
    assert pair.here["t"] is tensor and pair.here["a"] is array
    assert array.sum() == tensor.numel() == tensor.sum()
    pair.run("a += 1; u[0] = 9", "a", "u")
    assert tensor[1] == 9 and 9 in array
    array[:] = 5
    pair.ship("t")
    assert pair.there["t"].tolist() == tensor.tolist() and (tensor == 5).all()
    for _ in range(2):
        pair.ship("t", "u", "a")
    assert pair.last.is_empty


def test_what_a_tensor_has_lent_says_so(pair):
    """Its `base` is a tensor."""
    pair.cell("import torch\nt = torch.zeros(3); a = t.numpy()")
    pair.run("a[0] = 1; b = t.numpy()", "t", "a")
    assert pair.here["t"].tolist() == [1, 0, 0]
    assert all(isinstance(each.base, torch.Tensor) for each in (pair.there["a"], pair.here["b"]))


def test_a_scheduler_goes_on_with_its_optimizer(pair):
    """It has put itself before the optimizer's `step`."""
    pair.cell(
        "import torch\np = torch.nn.Parameter(torch.ones(1)); opt = torch.optim.SGD([p], lr=1.0, momentum=0.5)\n"
        "plan = torch.optim.lr_scheduler.StepLR(opt, 1, 0.1)"
    )
    for _ in range(2):
        pair.run("p.grad = torch.ones(1); opt.step(); plan.step()", "torch", "p", "opt", "plan")
    assert pair.here["plan"].optimizer is pair.here["opt"]
    assert round(pair.here["opt"].param_groups[0]["lr"], 4) == 0.01
    assert pair.here["opt"].param_groups[0]["params"][0] is pair.here["p"]
