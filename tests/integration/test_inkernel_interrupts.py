"""SIGINT at any moment: the run ends, the stream of frames stays whole, the next cell is exact."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from farcell_host.protocol.messages import Message
from inkernel_client import Answer, KernelClient, RemoteKernelProcess

PROMPT_S = 2.0  # generous: the bench measures the 0.2 s


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelClient]:
    process = RemoteKernelProcess(tmp_path_factory.mktemp("k"))
    client = process.connect()
    yield client
    client.close()
    process.stop()


def interrupted(client: KernelClient, code: str, delay_s: float, wake: bool = True) -> tuple[Answer, float]:
    """Runs the cell and interrupts it `delay_s` after it has said that it runs; the answer, and how long it took from there."""
    times: list[float] = []

    def interrupt() -> None:
        times.append(time.monotonic())
        client.interrupt(wake)

    def on_message(message: Message) -> None:
        if not timer.ident and message.msg_type in ("stream", "input_request"):
            timer.start()

    timer = threading.Timer(delay_s, interrupt)
    answer = client.run("print('runs', flush=True)\n" + code, on_message)
    timer.join(10)
    return answer, time.monotonic() - times[0]


def follow_up(client: KernelClient) -> None:
    answer = client.run("print('exact')\n6 * 7")
    assert answer.types == ["stream", "execute_result"] and answer.stdout == "exact\n"
    assert answer.messages[-1].content["data"]["text/plain"] == "42" and answer.reply["status"] == "ok"


@pytest.mark.parametrize(
    "code",
    ["import time\ntime.sleep(30)", "while True: pass", "input('? ')", "import threading\nthreading.Event().wait(30)"],
    ids=["sleep", "busy", "input", "wait"],
)
def test_interrupt_of_a_cell(client: KernelClient, code: str) -> None:
    """A sleeping, busy or asking cell ends in KeyboardInterrupt soon after the signal."""
    answer, seconds = interrupted(client, code, 0.1)
    assert answer.reply["ename"] == "KeyboardInterrupt" and seconds < PROMPT_S
    follow_up(client)


@pytest.mark.parametrize("wake", [True, False], ids=["ping", "no-ping"])
def test_interrupt_of_an_async_cell(client: KernelClient, wake: bool) -> None:
    """A cell that waits in asyncio.sleep ends at once, not when the sleep ends; with or without a frame that wakes the loop."""
    answer, seconds = interrupted(client, "import asyncio\nawait asyncio.sleep(30)", 0.1, wake)
    assert answer.reply["ename"] == "CancelledError" and seconds < PROMPT_S
    follow_up(client)


def test_interrupt_of_a_busy_async_cell(client: KernelClient) -> None:
    """An async cell that computes is interrupted too."""
    answer, seconds = interrupted(client, "import asyncio\nawait asyncio.sleep(0)\nwhile True: pass", 0.1)
    assert answer.reply["ename"] == "KeyboardInterrupt" and seconds < PROMPT_S
    follow_up(client)


def test_interrupt_while_a_name_is_fetched(client: KernelClient) -> None:
    """A cell that waits for the notebook's answer is interrupted; the late answer disturbs nothing."""
    late: list[Message] = []
    answer_fetch = client.answer_fetch

    def answer_late(request: Message) -> None:
        late.append(request)
        timer = threading.Timer(0.1, client.interrupt)
        timer.start()
        timer.join()
        time.sleep(0.1)
        answer_fetch(request)

    client.answer_fetch = answer_late  # type: ignore[method-assign]
    try:
        answer = client.run("never_sent")
    finally:
        client.answer_fetch = answer_fetch  # type: ignore[method-assign]
    assert answer.reply["ename"] == "KeyboardInterrupt" and len(late) == 1
    follow_up(client)


def test_state_before_the_interrupt_is_kept(client: KernelClient) -> None:
    """What the cell bound before it was interrupted is there, as after a local cell."""
    interrupted(client, "before = 1\nimport time\ntime.sleep(30)\nafter = 1", 0.1)
    answer = client.run("print('before' in globals(), 'after' in globals())", names=["before", "after"])
    assert answer.stdout == "True False\n"


def test_interrupt_of_a_print_flood(client: KernelClient) -> None:
    """25 interrupts at varied moments of a flood: never half a frame, and each next cell is exact."""
    for number in range(25):
        answer, seconds = interrupted(client, "while True: print('x' * 50, flush=True)", 0.005 + 0.004 * number)
        assert answer.reply["ename"] == "KeyboardInterrupt" and seconds < PROMPT_S
        follow_up(client)


def test_interrupt_between_cells_is_ignored(client: KernelClient) -> None:
    """A signal that comes when no cell runs ends neither the kernel nor the next cell."""
    client.interrupt()
    time.sleep(0.05)
    follow_up(client)
