"""A clock that only simulated models move, so that no test depends on real time."""

import math
from collections.abc import Callable, Sequence

import numpy as np


class Machine:
    """A clock, a watch, and models that take time on it, all slowed down alike by `load`.

    Attributes:
        log: the first letters of the models, one a run.
        disturbed: from time to whether something interferes then.
        around: what the watch tells of the measurement as a whole.
    """

    def __init__(self, seed: int = 0) -> None:
        self.now = 0.0
        self.rng = np.random.default_rng(seed)
        self.log: list[str] = []
        self.load: Callable[[float], float] = lambda _: 1.0
        self.disturbed: Callable[[float], bool] = lambda _: False
        self.around: Sequence[str] = ()
        self._met = False

    def clock(self) -> float:
        return self.now

    def model(self, name: str, seconds: float, noise: float = 0.0) -> Callable[[], None]:
        def run() -> None:
            self.log.append(name)
            self._met |= self.disturbed(self.now)
            spread = math.exp(noise * self.rng.standard_normal())
            self.now += seconds * spread * self.load(self.now)

        return run

    def start(self) -> list[str]:
        self._met = False
        return []

    def disturbances(self) -> list[str]:
        met, self._met = self._met, False
        return ["preempted"] if met else []

    def surroundings(self) -> Sequence[str]:
        return self.around
