"""What a trial costs besides the sampler's own thinking, `apply` and inference.

The real driver, the real store on a real journal and the real progress display run a search of
40 layers with two knobs each, on models that cost nothing: what remains is asking, looking for
duplicates, telling, writing durably, keeping the front, progress and logging. The time that the
sampler's methods take, and that building and measuring take, is measured and subtracted.

One search of 5,000 trials is run; then three go on from its first 10, 1,000 and 5,000 trials.
These take turns, trial by trial, so that whatever else the machine does meets all three alike. Each
figure is the median over 50 trials.

Run: python -m experiments.benchmarks.driver_cost
"""

import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from paretune.evaluators import Artifact, Measurement, Metric, SplitName
from paretune.evaluators.part import Part
from paretune.search.attempt import attempt_reference
from paretune.search.bench import Measured
from paretune.search.budget import Budget
from paretune.search.driver import Driver
from paretune.search.info import StudyInfo
from paretune.search.listener import Listener, Phase, Snapshot
from paretune.search.progress import ProgressDisplay
from paretune.search.samplers import make_sampler
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.spaces import (
    NM,
    ONNXRUNTIME_CPU,
    Layer,
    Policy,
    Precision,
    Space,
    Unstructured,
    build_space,
)

AT = (10, 1000, 5000)
WINDOW = 50
LAYERS = 40

_T = TypeVar("_T")

ACCURACY = Metric("accuracy", "", "maximize", "made up")
LATENCY = Metric("latency_ms", "ms", "minimize", "made up")
SIZE = Metric("size_bytes", "bytes", "minimize", "made up")
_COST = {Precision.FP32: 1.0, Precision.INT8: 0.4, Precision.W4: 0.7}
_LOSS = {Precision.FP32: 0.0, Precision.INT8: 0.002, Precision.W4: 0.01}


class Stopwatch:
    """Adds up the seconds that some calls take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, work: Callable[[], _T]) -> _T:
        begin = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds += time.perf_counter() - begin


class TimedSampler(BaseSampler):
    """Any sampler, and a stopwatch on its methods."""

    def __init__(self, inner: BaseSampler, watch: Stopwatch) -> None:
        self._inner = inner
        self._watch = watch

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._watch(lambda: self._inner.infer_relative_search_space(study, trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._watch(lambda: self._inner.sample_relative(study, trial, search_space))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return self._watch(lambda: self._inner.sample_independent(study, trial, name, distribution))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._watch(lambda: self._inner.before_trial(study, trial))

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._watch(lambda: self._inner.after_trial(study, trial, state, values))


class InstantBench:
    """Figures that are a function of the policy, with the records that real ones carry."""

    def __init__(self, watch: Stopwatch) -> None:
        layers = [Layer(f"/block{i}/MatMul", "MatMul", (64, 64), 4096, 4096) for i in range(LAYERS)]
        self.space: Space = build_space(
            layers,
            [],
            ONNXRUNTIME_CPU,
            [Precision.INT8, Precision.W4],
            [Unstructured(0.5), NM(2, 4)],
        )
        self.info = StudyInfo(
            name="driver_cost",
            objectives=(ACCURACY, LATENCY),
            metrics=(ACCURACY, LATENCY, SIZE),
            constraints=(),
            config={},
            identity={},
            environment={},
        )
        self._watch = watch

    def apply(self, policy: Policy, path: Path) -> Artifact:
        return self._watch(lambda: Artifact(path, policy, policy.key * 4))

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        return self._watch(lambda: (_figures(artifact.policy), {"accuracy": 0.4, "latency": 0.3}))

    def measure_only(
        self, artifact: Artifact, split: SplitName, metrics: Set[str], part: Part | None = None
    ) -> Measured:
        found, seconds = self.measure(artifact, split)
        return {name: found[name] for name in metrics}, seconds

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        """Nothing."""


class Clock:
    """A listener that notes what a trial cost the driver, then waits for its turn.

    Turns go round a ring: `mine` is acquired before a trial and `next_one` released after it.
    """

    def __init__(self, watches: Sequence[Stopwatch], mine: Semaphore, next_one: Semaphore) -> None:
        self.milliseconds: list[float] = []
        self._watches = watches
        self._mine = mine
        self._next_one = next_one
        self._last = 0.0

    def on_start(self, store: StudyStore) -> None:
        self._mine.acquire()
        self._last = self._now()

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        if snapshot.phase is Phase.SEARCH:
            self.milliseconds.append(1000 * (self._now() - self._last))
            self._next_one.release()
            self._mine.acquire()
            self._last = self._now()

    def on_phase(self, snapshot: Snapshot) -> None:
        if snapshot.phase is Phase.CONFIRM:
            self._next_one.release()

    def on_end(self, snapshot: Snapshot) -> None:
        pass

    def _now(self) -> float:
        return time.perf_counter() - sum(watch.seconds for watch in self._watches)


def grow(folder: Path, trials: int) -> StudyStore:
    """Run a search."""
    bench = InstantBench(Stopwatch())
    reference = attempt_reference(bench, folder / "reference.onnx")
    store = StudyStore.create(folder, bench.info)
    Driver(bench, store, make_sampler("nsga2", 0), Budget(trials)).run(reference)
    return store


def go_on(
    grown: StudyStore, folder: Path, trials: int, turns: Sequence[Semaphore]
) -> tuple[Clock, Thread]:
    """Go on with the first trials of a search, in a thread; the clock is ready when it ends."""
    thinking, working = Stopwatch(), Stopwatch()
    bench = InstantBench(working)
    store = StudyStore.create(folder, bench.info)
    attrs = grown.sampler_attrs()
    for trial in grown.searched_trials()[:trials]:
        store.record(trial, attrs[trial.number])
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    clock = Clock([thinking, working], *turns)
    # The clock comes last, so that what the display costs is in.
    listeners: list[Listener] = [ProgressDisplay(terminal), clock]
    sampler = TimedSampler(make_sampler("nsga2", trials), thinking)
    driver = Driver(bench, store, sampler, Budget(trials + WINDOW), listeners=listeners)
    # Should one of them break, the others wait for ever; the program ends all the same.
    thread = Thread(target=driver.run, daemon=True)
    thread.start()
    return clock, thread


def measure() -> dict[int, list[float]]:
    """Number of trials before to the milliseconds that each of the next ones cost the driver."""
    ring = [Semaphore(0) for _ in AT]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("grown", *map(str, AT)):
            (folder / part).mkdir()
        with grow(folder / "grown", max(AT)) as grown:
            searches = {
                n: go_on(grown, folder / str(n), n, (ring[i], ring[(i + 1) % len(ring)]))
                for i, n in enumerate(AT)
            }
        ring[0].release()
        for _, thread in searches.values():
            thread.join(timeout=300)
    return {n: clock.milliseconds for n, (clock, _) in searches.items()}


def main() -> None:
    spent = measure()
    assert all(len(milliseconds) == WINDOW for milliseconds in spent.values()), "a search broke"
    ms_at = {n: statistics.median(milliseconds) for n, milliseconds in spent.items()}
    print(
        f"{LAYERS} layers x 2 knobs, nsga2; driver's milliseconds a trial (target: 15, flat x1.5)"
    )
    print(f"{'after':>12} {'median':>8} {'slowest':>8}")
    for n, median in ms_at.items():
        print(f"{n:>12} {median:>8.2f} {max(spent[n]):>8.2f}")
    print(f"highest median / lowest: {max(ms_at.values()) / min(ms_at.values()):.2f}")
    print(json.dumps({"ms_at": {str(n): round(median, 3) for n, median in ms_at.items()}}))


def _figures(policy: Policy) -> Mapping[str, Measurement]:
    cost = loss = 0.0
    for i, (_, choice) in enumerate(policy):
        weight = 1 + (7 * i) % 5
        cost += weight * _COST[choice.precision]
        loss += (_LOSS[choice.precision] + 0.004 * (str(choice.sparsity) != "dense")) / weight
    samples = {"count": 60, "p05": 1.0, "p25": 1.1, "median": 1.2, "p75": 1.3, "p95": 1.4}
    conditions = {"threads": 1, "batch": 1, "runtime": "onnxruntime 1.31.0"}
    return {
        "accuracy": Measurement(0.9 - loss, 0.89 - loss, 0.91 - loss, {"count": 2000}, {}),
        "latency_ms": Measurement(cost, 0.99 * cost, 1.01 * cost, samples, conditions),
        "size_bytes": Measurement(1e6 * cost),
    }


if __name__ == "__main__":
    main()
