"""How a finished run shows in the notebook: a result, or the exception that the cell would have raised here."""

from __future__ import annotations

from typing import Any

from .deaths import of_exception
from .errors import HostDied, KernelDied, Refused, RemoteTraceback, RunTimeout, cancelled, remote_error
from .exchange import NOTHING, Returned
from .relay.cleaned import FOREIGN
from .relay.notebook import Notebook
from .relay.run_relay import RunRelay
from .run import Finish


def fail_if_ended(finish: Finish, target: str, log: str) -> None:
    """Raises when the kernel or the host ended instead of answering."""
    if finish.host is not None:
        raise HostDied(target, finish.host.death, log)
    if finish.kernel is None:
        return
    if finish.killed and not finish.timed_out:
        raise KeyboardInterrupt(f"The remote kernel on {target!r} was killed; the next run starts a new one.")
    if not finish.timed_out:
        raise KernelDied(target, finish.kernel, finish.kernel.death)


def conclude(
    finish: Finish, returned: Returned, relay: RunRelay, notebook: Notebook, target: str, log: str, timeout_s: float | None
) -> None:
    """Sets `_` and `Out`, hands payloads on, or raises."""
    status = finish.reply.message.content.get("status") if finish.reply is not None else None
    if finish.timed_out and (finish.kernel is not None or status in ("error", "aborted")):
        raise _timed_out(finish, returned, target, timeout_s)
    fail_if_ended(finish, target, log)
    assert finish.reply is not None
    content = finish.reply.message.content
    notebook.write_payloads(content.get("payload") or ())
    if content.get("message"):
        if status == "refused":
            raise Refused(f"{content['message']} Nothing was run on {target!r}.")
        notebook.say(content["message"])
    if status == "aborted":
        raise cancelled(target)
    if status == "error":
        raise exception_of(content, returned.error, target)
    if content.get("has_result") and returned.result is not NOTHING:
        notebook.set_result(returned.result, relay.result)
        relay.show_value(returned.result)
    if content.get("unshown"):
        notebook.fail_display(content["unshown"])


def exception_of(content: dict[str, Any], travelled: BaseException | None, target: str) -> BaseException:
    """The user's own exception object where it travelled, with the remote lines as its traceback; else one named after it.

    What can be done about it is shown below these lines. It is no note of the exception: a program sees it as it was raised.
    """
    ename, evalue, lines = content.get("ename", "Exception"), content.get("evalue", ""), content.get("traceback") or []
    advice = advice_on(ename, evalue, target)
    error = travelled
    if error is None:
        ending = (KeyboardInterrupt,) if content.get(FOREIGN) else (KeyboardInterrupt, SystemExit, GeneratorExit)
        cls = next((each for each in ending if each.__name__ == ename), None)
        error = remote_error(ename, evalue, lines) if cls is None else cls(*filter(None, [evalue]))
    if lines or content.get("printed"):
        try:
            setattr(error, "_render_traceback_", RemoteTraceback([*lines, *advice], error))  # noqa: B010 - no class declares it
        except AttributeError:  # a class with __slots__
            return remote_error(ename, evalue, lines)
    return error


def advice_on(ename: str, evalue: str, target: str) -> list[str]:
    """Lines to show below an exception that the target's lack of something has raised."""
    death = of_exception(ename, evalue, target)
    return [f"farcell: {death.detail}. {death.next_step}"] if death is not None else []


def _timed_out(finish: Finish, returned: Returned, target: str, timeout_s: float | None) -> RunTimeout:
    if finish.kernel is not None:
        what = "it did not stop and its kernel was killed; what it had changed is lost"
    else:
        what = "it was interrupted, and what it had changed until then is merged"
    error = RunTimeout(f"The run on {target!r} took longer than its time-out of {timeout_s:g} s: {what}.")
    if finish.reply is not None:
        error.__cause__ = exception_of(finish.reply.message.content, returned.error, target)
    return error
