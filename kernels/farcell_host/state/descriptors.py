"""What classes wrap functions in: properties, class methods, static methods; and methods bound to an object.

A wrapper is made empty first: the function that it wraps may refer to the class that the wrapper belongs to.
"""

from __future__ import annotations

import types
from typing import Any

WRAPPERS = (classmethod, staticmethod)


def reduce_wrapper(made: Any) -> tuple[Any, ...]:
    return make_wrapper, (type(made),), (made.__func__, dict(vars(made))), None, None, set_wrapper


def make_wrapper(kind: Any) -> Any:
    return _base(kind).__new__(kind)


def set_wrapper(made: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Where a class body has `def __new__`, the interpreter wraps it without the attributes that the decorator copies."""
    function, attributes = state
    _base(type(made)).__init__(made, function)
    vars(made).clear()
    vars(made).update(attributes)


def _base(kind: type) -> Any:
    return next(each for each in WRAPPERS if issubclass(kind, each))


def reduce_property(made: property) -> tuple[Any, ...]:
    doc = made.__doc__
    if doc == getattr(made.fget, "__doc__", None):
        doc = None  # it is the getter's, and follows another getter
    state = (made.fget, made.fset, made.fdel, doc, getattr(made, "__name__", None), dict(getattr(made, "__dict__", {})))
    return make_property, (type(made),), state, None, None, set_property


def make_property(kind: Any) -> Any:
    return property.__new__(kind)


def set_property(made: Any, state: tuple[Any, ...]) -> None:
    fget, fset, fdel, doc, name, attributes = state
    property.__init__(made, fget, fset, fdel, doc)
    if name is not None and "__name__" in property.__dict__:
        made.__name__ = name
    if attributes:
        vars(made).update(attributes)


def is_bound(method: types.BuiltinFunctionType) -> bool:
    """Whether it is a method of an object (`xs.append`), not a function of a module."""
    return method.__self__ is not None and not isinstance(method.__self__, types.ModuleType)


def reduce_builtin(method: types.BuiltinFunctionType) -> Any:
    return (getattr, (method.__self__, method.__name__)) if is_bound(method) else NotImplemented
