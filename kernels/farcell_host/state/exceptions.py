"""Exceptions: made anew without their class' `__init__`, with cause, context and where they were raised.

A traceback cannot travel, but what it tells can: file, line, column and function of each frame. The peer makes a frame for
each by raising in code that has just these; such a frame has no local variables. A cause or a context that cannot travel is
left out.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import threading
from collections.abc import Iterator
from itertools import islice
from types import CodeType, GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import Any

from . import context
from .caches import can_travel
from .sources import BOOK

Place = tuple[str, str, str, int, int, int, int, int]
"""File name, function, module, the line that the frame came to, and of what raised: line, end line, column, end column."""
_HEAP_TYPE = 1 << 9
_NOT_CARRIED = "_render_traceback_"  # how IPython shows it on one side


def _builtin(cls: type[BaseException]) -> Any:
    """The class of C that an exception class derives from."""
    return next(each for each in cls.__mro__ if not each.__flags__ & _HEAP_TYPE)


@functools.lru_cache(1024)
def _fields(cls: type[BaseException]) -> frozenset[str]:
    """What an exception has besides `args` and its dict: errno, name, lineno. Not `obj`, which may be anything of any size."""
    builtins_above = [each for each in cls.__mro__ if not each.__flags__ & _HEAP_TYPE and each not in (BaseException, object)]
    kinds = (MemberDescriptorType, GetSetDescriptorType)
    found = {name for each in builtins_above for name, value in vars(each).items() if isinstance(value, kinds)}
    return frozenset(name for name in found if not name.startswith("__")) - {"obj"}


def is_plain(cls: type) -> bool:
    """An exception class that is pickled as its builtin base is."""
    if not issubclass(cls, BaseException):
        return False
    own: Any = cls
    return own.__reduce__ is _builtin(cls).__reduce__ and own.__reduce_ex__ is object.__reduce_ex__


def reduce_exception(error: BaseException) -> tuple[Any, ...]:
    reduced: Any = error.__reduce__()
    return make_exception, (type(error), *reduced[1]), exception_state(error), None, None, set_exception_state


def make_exception(cls: type[BaseException], *args: Any) -> BaseException:
    builtin = _builtin(cls)
    error: BaseException = builtin.__new__(cls, *args)
    builtin.__init__(error, *args)
    return error


def exception_state(error: BaseException) -> tuple[Any, ...]:
    attributes = {name: value for name, value in vars(error).items() if name != _NOT_CARRIED}
    cause, before = _if_it_travels(error.__cause__), error.__context__
    before = cause if before is error.__cause__ else _if_it_travels(before)
    kind: Any = type(error)
    fields = {name: getattr(error, name) for name in sorted(_fields(kind)) if hasattr(error, name)}
    found = list(places(error.__traceback__))
    return error.args, fields, attributes, cause, before, error.__suppress_context__, found


_trying = threading.local()


def _if_it_travels(error: BaseException | None) -> BaseException | None:
    """None for one that does not; those behind it are tried with it, not one by one."""
    if error is None or getattr(_trying, "now", False):
        return error
    _trying.now = True
    try:
        return error if can_travel(error) else None
    finally:
        _trying.now = False


def set_exception_state(error: BaseException, state: tuple[Any, ...]) -> None:
    args, fields, attributes, cause, before, suppress, found = state
    error.args = args
    kind: Any = type(error)
    for name in _fields(kind) & fields.keys():
        if getattr(error, name, None) is not fields[name]:
            with contextlib.suppress(AttributeError, TypeError):  # some are read-only, and were given to the class
                setattr(error, name, fields[name])
    own = vars(error)
    for name in [name for name in own if name != _NOT_CARRIED]:
        del own[name]
    own.update(attributes)
    error.__cause__, error.__context__, error.__suppress_context__ = cause, before, suppress
    if [tuple(place) for place in found] != list(places(error.__traceback__)):
        error.__traceback__ = traceback_of(found)


def places(traceback: TracebackType | None) -> Iterator[Place]:
    while traceback is not None:
        code, line = traceback.tb_frame.f_code, traceback.tb_lineno
        position: Any = None
        if hasattr(code, "co_positions") and traceback.tb_lasti >= 0:
            position = next(islice(code.co_positions(), traceback.tb_lasti // 2, None), None)
        if position is None or None in position:
            position = (line, line, -1, -1)
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        last = traceback.tb_frame.f_lineno or line  # where IPython says that the error was
        yield BOOK.name(code.co_filename), code.co_name, module, last, line, *position[1:]
        traceback = traceback.tb_next


# -- a traceback that tells the same -----------------------------------------------------------------------------------


def traceback_of(found: list[Place]) -> TracebackType | None:
    """None when there is nothing to tell."""
    if not found:
        return None
    namespace = context.current().namespace
    entries: list[TracebackType] = []
    # In a thread: the frames shall not lead back to ours, which would keep whatever is being decoded alive.
    maker = threading.Thread(target=_raise_at, args=(found, namespace, entries), name="farcell-frames", daemon=True)
    maker.start()
    maker.join()
    made = None
    for entry in reversed(entries):
        made = TracebackType(made, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return made


def _raise_at(found: list[Place], namespace: dict[str, Any], entries: list[TracebackType]) -> None:
    for filename, name, module, *position in found:
        globals_ = namespace if filename in BOOK.cells else {"__name__": module, "__builtins__": builtins}
        try:
            code = _raising(filename, name, *position)
            exec(code, globals_, globals_ if name == "<module>" else {})
        except BaseException as error:
            here = error.__traceback__
            if here is not None and here.tb_next is not None:
                entries.append(here.tb_next)


def _raising(filename: str, name: str, last: int, line: int, end_line: int, column: int, end_column: int) -> CodeType:
    where: dict[str, Any] = {"lineno": line, "end_lineno": end_line, "col_offset": column, "end_col_offset": end_column}
    statement: ast.stmt = ast.Raise(**where)
    if last != line:
        after = ast.Pass(lineno=last, end_lineno=last, col_offset=-1, end_col_offset=-1)
        statement = ast.Try(body=[statement], handlers=[], orelse=[], finalbody=[after], **where)
    code = compile(ast.Module([statement], []), filename, "exec", dont_inherit=True)
    return code.replace(co_name=name)
