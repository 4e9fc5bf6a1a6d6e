"""Work beside the search: waited for, but not for ever."""

import time
from collections.abc import Iterator
from threading import Event, Timer
from types import SimpleNamespace

import pytest

from paretune.search.tracking.background import Background


def test_an_error_is_kept_until_the_next_work() -> None:
    def broken() -> Iterator[None]:
        yield
        raise OSError("gone")

    background = Background()
    assert background.wait(0)
    background.begin(broken())
    assert background.wait_while_moving(60)
    assert str(background.error) == "gone"
    background.begin([1, 2, 3])
    assert background.wait(60)
    assert background.error is None


def test_work_that_is_stuck_is_left_alone() -> None:
    begun, stuck, done = Event(), Event(), Event()

    def hanging() -> Iterator[None]:
        begun.set()
        stuck.wait()
        yield
        done.set()

    background = Background()
    background.begin(hanging())
    assert begun.wait(60)
    assert not background.wait(0)
    assert not background.wait_while_moving(0.01)
    with pytest.raises(RuntimeError, match="not ended yet"):
        background.begin([])
    # Given up, it does nothing more when it wakes.
    background.abandon()
    stuck.set()
    assert background.wait(60)
    assert not done.is_set()


def test_work_that_moves_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    waiting = Event()

    def slow() -> Iterator[int]:
        waiting.wait()
        for piece in range(5):
            clock.now += 50
            yield piece

    background = Background()
    background.begin(slow())
    Timer(0.05, waiting.set).start()
    assert background.wait_while_moving(60)
    assert clock.now == 250
