"""torch tensors on the CPU: their storages are known objects, whose memory travels as an array's does.

A tensor is a look at a storage; tensors that share one go on sharing it, and a change of a storage is merged into its memory, so
that every tensor, parameter and optimizer that uses it sees it. A storage over an array's memory (`torch.from_numpy`) goes on
looking at it, where a name is bound to that array or to a look at it: torch does not say what a storage is over. torch is only
looked at when the program has imported it. Other layouts, devices and subclasses go as torch pickles them. A tensor that
remembers how it was computed cannot: torch would forget that without a word.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from .arrays import address, base_of, forget_owners, is_array, owned_at, plain, register
from .refusals import Refused

HISTORY = "a tensor that remembers how it was computed (grad_fn)"
DETACH = "Send x.detach() instead, or go on with it inside the remote cell"

_arrays: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""Address of a storage -> the array that shows its bytes, as long as somebody holds that."""
_shown: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The same arrays by their id."""
_unmet: list[Mapping[str, Any]] = []
"""Namespaces whose arrays are looked at once a storage's memory may be one of theirs, which few cells come to."""


def torch() -> Any:
    """torch, when this process has it already."""
    return sys.modules.get("torch")


def _is_ready(module: Any) -> bool:
    return module is not None and hasattr(module, "UntypedStorage") and hasattr(module, "nn")


def is_tensor_type(kind: type) -> bool:
    """Tensors and parameters, but no other subclasses."""
    module = torch()
    return _is_ready(module) and kind in (module.Tensor, module.nn.Parameter)


def kind_of_type(kind: type) -> str | None:
    """ "tensor" or "generator", for types that are merged here."""
    module = torch()
    if not _is_ready(module):
        return None
    return "tensor" if is_tensor_type(kind) else "generator" if kind is module.Generator else None


def is_merged(tensor: Any) -> bool:
    """Whether a tensor of such a type is changed in place: dense, on the CPU, without hooks."""
    module = torch()
    return (
        tensor.layout == module.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor._backward_hooks)
    )


def reducer(kind: type) -> Any:
    """How objects of this type go into a pickle; None for their own way."""
    module = torch()
    if not _is_ready(module):
        return None
    if is_tensor_type(kind):
        return _reduce_tensor
    if kind is module.UntypedStorage:
        return _reduce_storage
    return _reduce_generator if kind is module.Generator else None


def _reduce_tensor(tensor: Any) -> Any:
    if tensor.grad_fn is not None:
        raise Refused(tensor, HISTORY, DETACH)
    if not is_merged(tensor):
        return NotImplemented
    return make_tensor, (type(tensor), tensor.dtype), tensor_state(tensor), None, None, set_tensor_state


def make_tensor(kind: Any, dtype: Any) -> Any:
    module = importlib.import_module("torch")
    empty = module.empty(0, dtype=dtype)
    return empty if kind is module.Tensor else kind(empty, requires_grad=False)


def tensor_state(tensor: Any) -> tuple[Any, ...]:
    """(dtype, storage, offset, shape, strides, requires_grad, grad, attributes); offset and strides in elements."""
    storage = tensor.untyped_storage()
    where = tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride())
    return tensor.dtype, storage, *where, tensor.requires_grad, tensor.grad, dict(vars(tensor)) or None


def set_tensor_state(tensor: Any, state: tuple[Any, ...]) -> None:
    """Called by unpickling, and by a merge for a tensor that is here already."""
    module = importlib.import_module("torch")
    dtype, storage, offset, shape, strides, requires_grad, grad, attributes = state
    if tensor_state(tensor)[:5] != (dtype, storage, offset, shape, strides):
        tensor.data = module.empty(0, dtype=dtype).set_(storage, offset, shape, strides)
    if tensor.requires_grad != requires_grad:
        tensor.requires_grad_(requires_grad)
    if tensor.grad is not grad:
        tensor.grad = grad
    own = vars(tensor)
    own.clear()
    own.update(attributes or {})


def _reduce_storage(storage: Any) -> Any:
    if storage.device.type != "cpu":
        return NotImplemented
    return make_storage, (bytes_of(storage),)


def bytes_of(storage: Any) -> Any:
    """The array that shows a storage's memory: always the same one, as long as it is held."""
    module = torch()
    _meet_arrays()
    array = _arrays.get(storage._cdata)
    if array is None or array.nbytes != storage.nbytes() or (array.nbytes and address(array) != storage.data_ptr()):
        size = storage.nbytes()
        array = None if storage.resizable() else owned_at(storage.data_ptr(), size)
    if array is None:
        array = module.empty(0, dtype=module.uint8).set_(storage, 0, (size,), (1,)).numpy()
    _arrays[storage._cdata] = _shown[id(array)] = array
    return array


def shows_storage(obj: Any) -> bool:
    """Whether this is an array that `bytes_of` has made: nobody else holds it while it is dumped, and yet it is no temporary."""
    return _shown.get(id(obj)) is obj


@contextmanager
def meeting(namespace: Mapping[str, Any]) -> Iterator[None]:
    """While names are looked at: arrays whose memory tensors may have been made over."""
    _unmet.append(namespace)
    try:
        yield
    finally:
        _unmet.clear()
        forget_owners()


def _meet_arrays() -> None:
    while _unmet:
        for array in filter(is_array, list(_unmet.pop().values())):
            owner, base = array, base_of(array)
            while base is not None and is_array(base):
                owner, base = base, base_of(base)
            if base is None:
                register(owner, is_met=False)


def bytes_under(tensor: Any, otherwise: Any) -> Any:
    """What an array that a tensor has lent looks at."""
    return bytes_of(tensor.untyped_storage()) if is_tensor_type(type(tensor)) and is_merged(tensor) else otherwise


def reduce_lent(array: Any, tensor: Any) -> Any:
    """An array that a tensor has lent as it is; None for one that was cut out of such a one."""
    if not is_tensor_type(type(tensor)) or not is_merged(tensor) or tensor.grad_fn is not None:
        return None
    whole = lend(tensor)
    is_whole = whole.shape == plain(array).shape and whole.strides == array.strides and whole.dtype == array.dtype
    return (lend, (tensor,)) if is_whole and address(whole) == address(array) and array.flags.writeable else None


def lend(tensor: Any) -> Any:
    return tensor.detach().numpy()


def make_storage(array: Any) -> Any:
    module = importlib.import_module("torch")
    storage = module.from_numpy(array).untyped_storage()
    _arrays[storage._cdata] = _shown[id(array)] = array
    return storage


def _reduce_generator(generator: Any) -> Any:
    return make_generator, (str(generator.device),), generator_state(generator), None, None, set_generator_state


def make_generator(device: str) -> Any:
    module = importlib.import_module("torch")
    return module.Generator(device if module.device(device).type == "cpu" or module.cuda.is_available() else "cpu")


def generator_state(generator: Any) -> bytes:
    return bytes(generator.get_state().numpy())


def set_generator_state(generator: Any, state: bytes) -> None:
    module = importlib.import_module("torch")
    generator.set_state(module.frombuffer(bytearray(state), dtype=module.uint8))
