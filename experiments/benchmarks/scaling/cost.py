"""What a whole trial costs the driver as a study grows, on a journal and on PostgreSQL.

The real driver with the guided sampler goes on with studies of 40 layers with two knobs each, whose
models cost nothing. They take turns, trial by trial, so that whatever else the machine does meets
all alike. The first trials of each are left out: the sampler learns from all trials at once then.

The memory is that of a process of its own, which goes on with the largest study to its end.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Semaphore, Thread

from experiments.benchmarks.driver_cost import InstantBench, Stopwatch, TimedSampler
from experiments.benchmarks.scaling.resuming import resuming
from experiments.benchmarks.scaling.store import make_trials, storages
from paretune.search.attempt import attempt_reference
from paretune.search.budget import Budget
from paretune.search.driver import Driver
from paretune.search.listener import Phase, Snapshot
from paretune.search.location import settle
from paretune.search.samplers import make_sampler
from paretune.search.storage_url import StorageUrl
from paretune.search.store import StudyStore
from paretune.search.trial import Trial

SAMPLER = "guided"
WARM = 32
WINDOW = 96
"""Trials that are measured: as many as the sampler plans in three goes, once it has thousands."""


class _Over(Exception):
    """The search phase has ended."""


@dataclass
class Turns:
    """A listener that notes what each trial cost, then waits for its turn.

    Turns go round a ring: `mine` is acquired before a trial and `next_one` released after it.

    Attributes:
        thinking: on the sampler.
        whole: milliseconds of each trial.
        sampler: how many of them were the sampler's.
        resumed: seconds until the driver was ready.
    """

    mine: Semaphore
    next_one: Semaphore
    thinking: Stopwatch = field(default_factory=Stopwatch)
    whole: list[float] = field(default_factory=list)
    sampler: list[float] = field(default_factory=list)
    resumed: float = 0.0
    _last: float = 0.0
    _thought: float = 0.0

    def on_start(self, store: StudyStore) -> None:
        self._begin()

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        self.whole.append(1000 * (time.perf_counter() - self._last))
        self.sampler.append(1000 * (self.thinking.seconds - self._thought))
        self.next_one.release()
        self._begin()

    def on_phase(self, snapshot: Snapshot) -> None:
        if snapshot.phase is Phase.CONFIRM:
            self.next_one.release()
            raise _Over

    def on_end(self, snapshot: Snapshot) -> None:
        pass

    def _begin(self) -> None:
        self.mine.acquire()
        self._last, self._thought = time.perf_counter(), self.thinking.seconds


def measure(sizes: Sequence[int]) -> dict[str, object]:
    """Milliseconds of a trial after so many others, on each kind of storage."""
    trials = list(make_trials(max(sizes)))
    with storages() as urls, tempfile.TemporaryDirectory() as name:
        places = {(kind, size): Path(name) / f"{kind}{size}" for kind in urls for size in sizes}
        for (kind, size), folder in places.items():
            _record(folder, urls[kind], trials[:size])
        del trials
        ring = [Semaphore(0) for _ in places]
        turns = {place: Turns(ring[i], ring[(i + 1) % len(ring)]) for i, place in enumerate(places)}
        threads = [_go_on(folder, turns[place]) for place, folder in places.items()]
        # To search the records of all these studies for garbage takes a second, now and then.
        gc.collect()
        gc.freeze()
        ring[0].release()
        for thread in threads:
            thread.join(timeout=600)
        assert all(len(turn.whole) >= WARM + WINDOW for turn in turns.values()), "a search broke"
        found: dict[str, object] = {
            kind: _table({size: turns[kind, size] for size in sizes}) for kind in urls
        }
        return found | {"resumed": resuming(places["journal", max(sizes)])}


def _record(folder: Path, url: StorageUrl | None, trials: Sequence[Trial]) -> None:
    folder.mkdir()
    info = replace(InstantBench(Stopwatch()).info, name=folder.name)
    settle(folder, url, info.name, folder)
    with StudyStore.create(folder, info) as store:
        store.record(attempt_reference(InstantBench(Stopwatch()), folder / "reference.onnx"))
        for trial in trials:
            store.record(trial)


def _go_on(folder: Path, turns: Turns) -> Thread:
    """Go on with a study, in a thread."""
    store = StudyStore.open(folder, writable=True)
    count = len(store.trials())
    begin = time.perf_counter()
    sampler = TimedSampler(make_sampler(SAMPLER, 0), turns.thinking)
    budget = Budget(count + WARM + WINDOW)
    driver = Driver(InstantBench(Stopwatch()), store, sampler, budget, listeners=[turns])
    turns.resumed = time.perf_counter() - begin

    def work() -> None:
        with suppress(_Over), store:
            driver.run()

    # Should one of them break, the others wait for ever; the program ends all the same.
    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


def _table(turns: Mapping[int, Turns]) -> dict[str, object]:
    whole = {size: statistics.mean(one.whole[WARM:]) for size, one in turns.items()}
    rest = {size: whole[size] - statistics.mean(one.sampler[WARM:]) for size, one in turns.items()}
    first, last = min(turns), max(turns)
    return {
        "trial_ms": {str(size): round(ms, 2) for size, ms in whole.items()},
        "trial_ratio": round(whole[last] / whole[first], 2),
        "without_sampler_ms": {str(size): round(ms, 2) for size, ms in rest.items()},
        "without_sampler_ratio": round(rest[last] / rest[first], 2),
        "resume_seconds": {str(size): round(one.resumed, 2) for size, one in turns.items()},
    }
