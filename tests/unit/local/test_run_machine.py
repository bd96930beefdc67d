"""One run as a dialogue: what came in, what is to be done."""

import pytest
from farcell.deaths import Death
from farcell.run import (
    PATIENCE_S,
    AnswerFetch,
    AskInput,
    AskToKill,
    FetchAsked,
    Finish,
    HostEnded,
    Idled,
    InputAsked,
    InterruptPressed,
    KernelEnded,
    KillAnswered,
    Noticed,
    Publish,
    Published,
    Replied,
    Run,
    Say,
    SendInterrupt,
    SendKill,
    Started,
    State,
    Ticked,
)
from farcell_host.protocol.messages import Channel, Message
from farcell_host.reasons import Reason

STREAM = Message.build(Channel.IOPUB, "stream", {"name": "stdout", "text": "hi"})
REPLY = Message.build(Channel.SHELL, "farcell_run_reply", {"run": "r", "status": "ok"})
ASK = Message.build(Channel.STDIN, "input_request", {"prompt": "?", "password": False})


def test_a_reply_ends_a_run() -> None:
    """Over the direct socket the reply comes after all output, so it ends the run."""
    run = Run("gpu")
    assert run.receive(Started(0)) == []
    assert run.receive(Published(STREAM)) == [Publish(STREAM)]
    assert run.receive(Replied(REPLY)) == [Finish(reply=Replied(REPLY))]
    assert run.state is State.FINISHED


def test_a_reply_alone_does_not_end_a_run_over_zmq() -> None:
    """Over zmq output may come after the reply: both reply and idle are awaited, in any order."""
    run = Run("gpu", needs_idle=True)
    assert run.receive(Replied(REPLY)) == []
    assert run.receive(Published(STREAM)) == [Publish(STREAM)]
    assert run.receive(Idled()) == [Finish(reply=Replied(REPLY))]
    other = Run("gpu", needs_idle=True)
    assert other.receive(Idled()) == []
    assert other.receive(Replied(REPLY)) == [Finish(reply=Replied(REPLY))]


@pytest.mark.parametrize(("felt", "too_late"), [(0, True), (1, False)])
def test_an_interrupt_that_nothing_there_has_felt(felt: int, too_late: bool) -> None:
    """A cell may catch KeyboardInterrupt and end well; one that ended before it came leaves Ctrl-C to the notebook."""
    reply = Message.build(Channel.SHELL, "farcell_run_reply", {"status": "ok", "interrupts": felt})
    run = Run("gpu")
    run.receive(Started(0))
    run.receive(InterruptPressed(1))
    (finish,) = run.receive(Replied(reply))
    assert isinstance(finish, Finish) and finish.interrupted_too_late is too_late
    (finish,) = Run("gpu").receive(Replied(reply))
    assert isinstance(finish, Finish) and not finish.interrupted_too_late


@pytest.mark.parametrize("status", ["refused", "aborted"])
def test_a_run_that_never_began_has_no_idle_to_wait_for(status: str) -> None:
    """The host answers in the kernel's place when a cell cannot be handed on, or is cancelled before it begins."""
    reply = Message.build(Channel.SHELL, "farcell_run_reply", {"status": status})
    assert Run("gpu", needs_idle=True).receive(Replied(reply)) == [Finish(reply=Replied(reply))]


def test_questions_are_passed_on() -> None:
    """input() and a missing name are answered by whoever waits."""
    run = Run("gpu")
    assert run.receive(InputAsked(ASK)) == [AskInput(ASK)]
    assert run.receive(FetchAsked(ASK)) == [AnswerFetch(ASK)]
    assert run.receive(Noticed("away")) == [Say("away")]


def test_the_first_interrupt_is_sent_the_second_asks() -> None:
    """Ctrl-C reaches the remote kernel; Ctrl-C again asks whether to kill it."""
    run = Run("gpu")
    run.receive(Started(0))
    assert run.receive(InterruptPressed(1)) == [SendInterrupt()]
    assert run.receive(InterruptPressed(3)) == [AskToKill(2)]
    assert run.receive(KillAnswered(False, 4)) == [SendInterrupt()]
    assert run.receive(InterruptPressed(6)) == [AskToKill(5)]
    assert run.receive(KillAnswered(True, 7)) == [SendKill()]
    assert run.receive(InterruptPressed(8)) == []
    died = KernelEnded(None, "SIGKILL")
    assert run.receive(died) == [Finish(kernel=died, interrupted=True, killed=True)]


def test_two_presses_at_once_are_one() -> None:
    """A double click on stop does not ask to kill."""
    run = Run("gpu")
    assert run.receive(InterruptPressed(1)) == [SendInterrupt()]
    assert run.receive(InterruptPressed(1.2)) == [SendInterrupt()]


def test_an_interrupt_that_does_nothing_is_reported() -> None:
    """After five seconds the person reads what to do next."""
    run = Run("gpu")
    run.receive(InterruptPressed(1))
    assert run.deadline == 1 + PATIENCE_S
    assert run.receive(Ticked(2)) == []
    assert run.receive(Ticked(1 + PATIENCE_S)) == [
        Say("The remote kernel on 'gpu' has not stopped yet. Interrupt once more to kill it.")
    ]
    assert run.deadline is None


def test_the_clock_starts_with_the_run() -> None:
    """Queue and start are not counted as time-out."""
    run = Run("gpu", timeout_s=10)
    assert run.deadline is None
    run.receive(Started(100))
    assert run.deadline == 110
    assert run.receive(Ticked(109)) == []
    assert run.receive(Ticked(110)) == [SendInterrupt()]
    assert run.receive(Replied(REPLY)) == [Finish(reply=Replied(REPLY), timed_out=True)]


def test_a_run_that_ignores_its_time_out_is_killed() -> None:
    """No wait without an end: after patience the kernel is killed, with a message."""
    run = Run("gpu", timeout_s=10)
    run.receive(Started(0))
    run.receive(Ticked(10))
    said, kill = run.receive(Ticked(10 + PATIENCE_S))
    assert isinstance(said, Say) and "killed" in said.text
    assert kill == SendKill()


def test_nothing_follows_the_end() -> None:
    """Late events of a finished run change nothing."""
    run = Run("gpu")
    lost = HostEnded(Death(Reason.UNKNOWN, "gone"))
    assert run.receive(lost) == [Finish(host=lost)]
    for event in (Replied(REPLY), InterruptPressed(1), Ticked(1), KernelEnded(1, None), Published(STREAM)):
        assert run.receive(event) == []
