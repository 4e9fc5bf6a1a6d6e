"""Signals that ask for the end, once and twice."""

import signal
import threading
from collections.abc import Iterator

import pytest

from paretune.search import interrupt as interrupt_module
from paretune.search.interrupt import SIGNALS, Aborted, Interrupt, aborting

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of leaving the terminal that the tests run in."""
    left: list[str] = []
    monkeypatch.setattr(interrupt_module, "_leave_terminal", lambda: left.append("left"))
    return left


@pytest.fixture
def ignored() -> Iterator[None]:
    before = signal.signal(HUP, signal.SIG_IGN)
    yield
    signal.signal(HUP, before)


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", [INT, TERM])
def test_the_first_asks_and_the_second_aborts(
    first: signal.Signals, second: signal.Signals, left: list[str]
) -> None:
    said: list[str] = []
    with Interrupt(lambda: said.append("stopping")) as interrupt:
        assert not interrupt.requested
        signal.raise_signal(first)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(second)
    assert isinstance(caught.value, Aborted)
    assert caught.value.number == second
    assert said == ["stopping"]
    assert left == ["left"] * (first == HUP)


@pytest.mark.parametrize("first", SIGNALS)
def test_a_terminal_that_is_closed_asks_only(first: signal.Signals, left: list[str]) -> None:
    # The kernel tells of it, and so does the shell.
    with Interrupt(lambda: None) as interrupt:
        for number in (first, HUP, HUP):
            signal.raise_signal(number)
        assert interrupt.requested
    assert left


@pytest.mark.parametrize("error", [OSError("the terminal is gone"), RuntimeError("reentrant")])
def test_a_message_that_cannot_be_said_is_not_missed(error: Exception) -> None:
    def say() -> None:
        raise error

    with Interrupt(say) as interrupt:
        signal.raise_signal(INT)
    assert interrupt.requested


@pytest.mark.parametrize("number", SIGNALS)
def test_before_the_search_each_aborts(number: signal.Signals, left: list[str]) -> None:
    with pytest.raises(Aborted) as caught, aborting():
        signal.raise_signal(number)
    assert caught.value.number == number
    assert left == ["left"] * (number == HUP)


def test_afterwards_all_is_as_it_was() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with aborting():
        outer = [signal.getsignal(number) for number in SIGNALS]
        with Interrupt(lambda: None):
            for number, handler in zip(SIGNALS, outer, strict=True):
                assert signal.getsignal(number) != handler
        assert [signal.getsignal(number) for number in SIGNALS] == outer
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.usefixtures("ignored")
def test_what_is_ignored_stays_so() -> None:
    with aborting(), Interrupt(lambda: None) as interrupt:
        signal.raise_signal(HUP)
        assert not interrupt.requested


def test_in_another_thread_it_does_nothing() -> None:
    requested: list[bool] = []

    def work() -> None:
        with aborting(), Interrupt(lambda: None) as interrupt:
            requested.append(interrupt.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert requested == [False]
