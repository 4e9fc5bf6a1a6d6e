"""A machine whose time passes only in simulation, and on which models run with realistic noise."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

_GRID_SECONDS = 1e-3
_GRID_POINTS = 8192
_CLOCK_SECONDS = 5e-8
_DRAWS = 4096


@dataclass(frozen=True)
class Noise:
    """What disturbs runs; all off by default.

    Attributes:
        run: standard deviation of the logarithm of a run's time, the candidate's; half that of
            the reference's.
        tail: share of runs that take longer by a Pareto-distributed share (infinite variance).
        drift: standard deviation of the logarithm of the machine's speed, both sides alike.
        drift_seconds: correlation time of the drift.
        throttle: by which share the machine becomes slower in the first two seconds.
        wobble: standard deviation of the logarithm of the true ratio at a time.
        wobble_seconds: correlation time of the wobble.
        preempting: share of the time in which a process wants the same CPU; the watch tells.
        contending: share of the time in which a neighbour on another CPU slows the reference down
            by 25% and the candidate by 12%; nobody tells.
        burst_seconds: mean length of both.
    """

    run: float = 0.01
    tail: float = 0.0
    drift: float = 0.0
    drift_seconds: float = 0.2
    throttle: float = 0.0
    wobble: float = 0.0
    wobble_seconds: float = 0.01
    preempting: float = 0.0
    contending: float = 0.0
    burst_seconds: float = 0.03


class SimulatedMachine:
    """The clock, the watch, and the noise that models meet."""

    _SLICE_SECONDS = 3e-3
    """For which the scheduler lets one of two processes run."""

    def __init__(self, noise: Noise, rng: np.random.Generator) -> None:
        self.now = 0.0
        self._noise = noise
        self._rng = rng
        self._preempted = False
        common = _correlated(rng, noise.drift, noise.drift_seconds)
        common += np.log1p(noise.throttle * np.minimum(1, np.arange(_GRID_POINTS) / 2000))
        contention = _bursts(rng, noise.contending, noise.burst_seconds)
        self._busy = _bursts(rng, noise.preempting, noise.burst_seconds)
        self._reference_speed = np.exp(common + contention * np.log(1.25))
        wobble = _correlated(rng, noise.wobble, noise.wobble_seconds)
        self._candidate_speed = np.exp(common + wobble + contention * np.log(1.12))

    def clock(self) -> float:
        """Seconds; reading it takes some."""
        self.now += _CLOCK_SECONDS
        return self.now

    def start(self) -> list[str]:
        """A `Watch`: nothing before a block."""
        self._preempted = False
        return []

    def disturbances(self) -> list[str]:
        """A `Watch`: preemption since the start of the block."""
        return ["preempted"] if self._preempted else []

    def surroundings(self) -> list[str]:
        """A `Watch`: nothing."""
        return []

    def long_run(self) -> float:
        """By which factor the candidate's undisturbed median run differs from its `seconds`."""
        return float(np.median(self._factors(10**6, self._noise.run, self._noise.tail)))

    def reference(self, seconds: float) -> Callable[[], None]:
        """A model that takes so long when nothing disturbs, in the median."""
        return self._model(seconds, self._noise.run / 2, 0.0, self._reference_speed)

    def candidate(self, seconds: float) -> Callable[[], None]:
        """A noisier one, longer by its tail."""
        return self._model(seconds, self._noise.run, self._noise.tail, self._candidate_speed)

    def _factors(self, count: int, spread: float, tail: float) -> NDArray[np.float64]:
        factors = np.exp(spread * self._rng.standard_normal(count))
        hit = self._rng.random(count) < tail
        factors[hit] *= 1 + 0.1 * self._rng.pareto(1.5, int(hit.sum()))
        return factors

    def _model(
        self, seconds: float, spread: float, tail: float, speed: NDArray[np.float64]
    ) -> Callable[[], None]:
        draws = (seconds * self._factors(_DRAWS, spread, tail)).tolist()
        speeds = speed.tolist()
        busy = self._busy.tolist()
        chances = self._rng.random(_DRAWS).tolist()
        count = 0

        def run() -> None:
            nonlocal count
            count = (count + 1) % _DRAWS
            at = min(int(self.now / _GRID_SECONDS), _GRID_POINTS - 1)
            taken = draws[count] * speeds[at]
            if busy[at] and chances[count] > exp(-taken / self._SLICE_SECONDS):
                taken += self._SLICE_SECONDS
                self._preempted = True
            self.now += taken

        return run


def _correlated(rng: np.random.Generator, deviation: float, seconds: float) -> NDArray[np.float64]:
    """An Ornstein-Uhlenbeck process on the grid."""
    keep = exp(-_GRID_SECONDS / seconds)
    shocks = deviation * np.sqrt(1 - keep**2) * rng.standard_normal(_GRID_POINTS)
    values = np.zeros(_GRID_POINTS)
    if deviation:
        value = deviation * rng.standard_normal()
        for i, shock in enumerate(shocks):
            value = keep * value + shock
            values[i] = value
    return values


def _bursts(rng: np.random.Generator, share: float, seconds: float) -> NDArray[np.bool_]:
    """Where a process is on that is on for this share of the time, exponentially long each time."""
    values = np.zeros(_GRID_POINTS, dtype=np.bool_)
    if share:
        at, on = 0.0, bool(rng.random() < share)
        while at < _GRID_POINTS:
            mean = seconds if on else seconds * (1 - share) / share
            length = rng.exponential(mean) / _GRID_SECONDS
            values[int(at) : int(at + length)] = on
            at, on = at + length, not on
    return values
