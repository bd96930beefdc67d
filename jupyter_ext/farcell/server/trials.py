"""Targets are tried by a process of their own (`python -m farcell.trial`): what a session takes up of its process, and changes in
it, is none of a server's. On the connection thread's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
import uuid

from farcell_host.waiting import result_within

from .faults import Fault, unknown
from .observatory import Observatory
from .schemas import Step, Task

MOST = 4
"""Trials at once: each is a session."""
STEP_S, END_S = 5.0, 10.0
"""When the server ends: for the step that goes on, and then for the session that was begun to end."""


class Trials:
    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self._going: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str) -> Task:
        targets, faults = self._observatory.targets
        if name not in targets.known and not any(fault.target == name for fault in faults):
            raise unknown(f"There is no target {name!r}. Known: {', '.join(targets.names)}.")
        if name in self._going:
            raise Fault(409, "busy", f"{name!r} is being tried just now; its task is in the snapshot.")
        if len(self._going) >= MOST:
            raise Fault(409, "busy", f"{MOST} targets are being tried just now: {', '.join(self._going)}. Wait for one of them.")
        task = Task(
            id=uuid.uuid4().hex, kind="test-target", target=name, state="running", doing=None, steps=[], message=None,
            started=time.time(), ended=None,
        )  # fmt: skip
        self._observatory.put_task(task)
        self._going[name] = asyncio.ensure_future(self._try(task))
        return task

    async def close(self) -> None:
        going = list(self._going.values())
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    async def _try(self, task: Task) -> None:
        try:
            task = await self._run(task)
        except (OSError, ValueError) as error:
            task = task.model_copy(update={"message": f"The trial could not be run: {error}"})
        finally:
            del self._going[task.target]
            is_ok = task.message is None and task.doing is None and bool(task.steps)
            state = {"state": "ok" if is_ok else "failed", "doing": None, "ended": time.time()}
            if not is_ok and task.message is None:
                state["message"] = f"The trial ended before its end. farcell doctor {task.target} looks for the cause."
            self._observatory.put_task(task.model_copy(update=state))

    async def _run(self, task: Task) -> Task:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "farcell.trial", task.target,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                task = _with(task, json.loads(line))
                self._observatory.put_task(task)
            await process.wait()
            return task
        finally:
            if process.returncode is None:  # Ctrl-C has it end the session that it has begun
                await asyncio.shield(_end(process))


def _with(task: Task, said: dict[str, object]) -> Task:
    if "error" in said:
        return task.model_copy(update={"doing": None, "message": str(said["error"])})
    if said["seconds"] is None:
        return task.model_copy(update={"doing": said["step"]})
    step = Step(step=str(said["step"]), seconds=round(float(str(said["seconds"])), 3))
    return task.model_copy(update={"doing": None, "steps": [*task.steps, step]})


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        for limit_s in (STEP_S, END_S):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(asyncio.TimeoutError):
                await result_within(process.wait(), limit_s)
                return
        process.kill()
        await process.wait()
