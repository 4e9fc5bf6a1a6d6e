"""Work in lanes: what overlaps is proven by barriers that it alone can pass."""

import threading
from collections.abc import Callable

import pytest

from paretune.evaluators.lanes import run_lanes

_SECONDS = 30.0
"""Until a deadlock is one; nothing waits so long when all is well."""


def test_results_come_in_the_order_of_the_tasks() -> None:
    assert run_lanes([("a", lambda: 1), ("b", lambda: 2), ("a", lambda: 3)]) == [1, 2, 3]
    assert run_lanes([]) == []


def test_lanes_overlap() -> None:
    meeting = threading.Barrier(3)
    run_lanes([(lane, lambda: meeting.wait(_SECONDS)) for lane in "abc"])


def test_within_a_lane_tasks_take_turns() -> None:
    busy = {"a": threading.Lock(), "b": threading.Lock()}
    order: list[str] = []

    def work(lane: str, name: str) -> Callable[[], None]:
        def run() -> None:
            assert busy[lane].acquire(blocking=False)
            order.append(name)
            busy[lane].release()

        return run

    run_lanes([(lane, work(lane, f"{lane}{i}")) for i in range(20) for lane in "ab"])
    for lane in "ab":
        assert [name for name in order if name[0] == lane] == [f"{lane}{i}" for i in range(20)]


def test_the_first_lane_is_the_calling_thread() -> None:
    threads = run_lanes([("a", threading.current_thread), ("a", threading.current_thread)])
    assert set(threads) == {threading.current_thread()}


def test_the_first_error_is_raised_when_all_have_ended() -> None:
    failed, done = threading.Event(), threading.Event()
    skipped: list[str] = []

    def slow() -> None:
        assert failed.wait(_SECONDS)
        done.set()
        raise KeyError("first in order, last in time")

    def quick() -> None:
        failed.set()
        raise ValueError("last in order, first in time")

    tasks = [
        ("a", lambda: None),
        ("b", slow),
        ("c", quick),
        ("c", lambda: skipped.append("after an error")),
    ]
    with pytest.raises(KeyError, match="first in order"):
        run_lanes(tasks)
    assert done.is_set()
    assert not skipped


def test_what_a_thread_cannot_raise_is_raised_here() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_lanes([("a", lambda: None), ("b", leave)])


def test_an_abort_does_not_wait_for_other_lanes() -> None:
    begun, release = threading.Event(), threading.Event()

    def far() -> None:
        begun.set()
        release.wait(_SECONDS)

    def here() -> None:
        assert begun.wait(_SECONDS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_lanes([("a", here), ("b", far)])
    assert not release.is_set()
    release.set()
