"""Ctrl-C, once and twice."""

import signal
import threading

import pytest

from paretune.search.interrupt import Interrupt


def test_the_first_asks_and_the_second_aborts() -> None:
    said: list[str] = []
    with Interrupt(lambda: said.append("stopping")) as interrupt:
        assert not interrupt.requested
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert said == ["stopping"]


def test_afterwards_all_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt(lambda: None):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_in_another_thread_it_does_nothing() -> None:
    requested: list[bool] = []

    def work() -> None:
        with Interrupt(lambda: None) as interrupt:
            requested.append(interrupt.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert requested == [False]
