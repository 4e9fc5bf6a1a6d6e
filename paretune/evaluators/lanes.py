"""Work in lanes: in one lane one after the other, in different lanes at the same time."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def run_lanes(tasks: Sequence[tuple[str, Callable[[], _T]]]) -> list[_T]:
    """Run all tasks; the first one's lane is the calling thread.

    A task that raises ends its lane; the others go on.

    Args:
        tasks: each with the lane's name.

    Returns:
        what the tasks returned, in their order.

    Raises:
        BaseException: the first of those raised, in the order of the tasks, after all lanes ended.
    """
    lanes: dict[str, list[int]] = {}
    for index, (lane, _) in enumerate(tasks):
        lanes.setdefault(lane, []).append(index)
    results: dict[int, _T] = {}
    errors: dict[int, BaseException] = {}

    def run(indexes: Sequence[int], caught: type[BaseException]) -> None:
        for index in indexes:
            try:
                results[index] = tasks[index][1]()
            except caught as error:
                errors[index] = error
                return

    here, *others = lanes.values() or [[]]
    # Daemons, and an abort of this thread passes through: it must not wait for a far device.
    threads = [
        threading.Thread(target=run, args=(lane, BaseException), daemon=True) for lane in others
    ]
    for thread in threads:
        thread.start()
    run(here, Exception)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(tasks))]
