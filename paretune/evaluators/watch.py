"""Watching the evaluators: which of them are at work, and which only wait for a device."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paretune.evaluators.devices.device import Device
from paretune.evaluators.measuring.job import Job
from paretune.evaluators.measuring.result import Result


class Watch:
    """Keeps track of the evaluators, which may be in different threads.

    Args:
        tell: is called after every change with what is going on, such as `measuring accuracy`
            (empty if nothing is), and whether all that is waiting for devices, which have limits
            of their own.
    """

    def __init__(self, tell: Callable[[str, bool], None] = lambda text, waiting: None) -> None:
        self._tell = tell
        self._waiting: dict[str, bool] = {}
        self._lock = threading.Lock()

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """While the evaluator `name` measures."""
        self._change(name, waiting=False)
        try:
            yield
        finally:
            self._change(name, waiting=None)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """While the evaluator `name` waits for its device."""
        before = self._waiting.get(name)
        self._change(name, waiting=True)
        try:
            yield
        finally:
            self._change(name, waiting=before)

    def _change(self, name: str, *, waiting: bool | None) -> None:
        with self._lock:
            self._waiting.pop(name, None)
            if waiting is not None:
                self._waiting[name] = waiting
            working = [name for name, waits in self._waiting.items() if not waits]
            # Those that work are the ones that may break something.
            shown = " and ".join(working or self._waiting)
            self._tell(f"measuring {shown}" if shown else "", bool(shown) and not working)


class WatchedDevice:
    """A device as one evaluator sees it."""

    def __init__(self, device: Device, watch: Watch, evaluator: str) -> None:
        self._device = device
        self._watch = watch
        self._evaluator = evaluator

    @property
    def machine(self) -> str:
        return self._device.machine

    def run(self, job: Job) -> Result:
        with self._watch.waiting(self._evaluator):
            return self._device.run(job)

    def close(self) -> None:
        self._device.close()
