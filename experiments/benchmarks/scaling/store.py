"""What the store costs as a study grows: writing a trial, and opening the study.

Trials of 40 layers with two knobs each are recorded, in a journal and in a PostgreSQL server that
is started for it (without fsync). Reported are the median milliseconds of a `record` over 50 trials
after the first 100 and after all; then, in processes of their own, the seconds and the memory of
`paretune front`, and of nothing but opening the store for writing, as a search does.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.benchmarks.driver_cost import InstantBench, Stopwatch
from experiments.benchmarks.postgresql import running_server
from paretune.evaluators import Artifact
from paretune.search.location import settle
from paretune.search.storage_url import StorageUrl
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.search.unseen import unseen_policy

FIRST = 100
WINDOW = 50
NOTES = {"nsga2:generation": 3, "nsga2:parents": [1, 2]}

_FRONT = """
from paretune.search.cli.main import app
app(["front", {folder!r}], standalone_mode=False)
"""
_OPEN = """
from pathlib import Path
from paretune.search.store import StudyStore
with StudyStore.open(Path({folder!r}), writable=True) as store:
    store.trials(), store.sampler_attrs()
"""
# What `wait4` tells of a process counts its parent's memory as well.
_PEAK = """
import re, sys
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""
REPEATS = 3


@dataclass(frozen=True)
class Opening:
    """What a process took that opened a study.

    Attributes:
        seconds: wall time, the start of Python included.
        peak_mb: its largest resident size.
    """

    seconds: float
    peak_mb: float


def make_trials(count: int, seed: int = 0) -> Iterator[Trial]:
    """Trials of random policies, not recorded yet."""
    bench = InstantBench(Stopwatch())
    rng = np.random.default_rng(seed)
    for _ in range(count):
        policy = unseen_policy(bench.space, (), rng)
        assert policy is not None
        figures, seconds = bench.measure(Artifact(Path(), policy, ""), "search")
        yield Trial(
            -1,
            TrialStatus.COMPLETE,
            policy,
            figures,
            artifact_sha256=policy.key * 4,
            seconds=seconds,
            finished_at=1.79e9,
        )


def grow(store: StudyStore, trials: Iterator[Trial], at: Sequence[int]) -> dict[int, float]:
    """Record trials.

    Returns:
        for each size in `at`, the median milliseconds of the next `WINDOW` trials.
    """
    milliseconds = []
    for _, trial in zip(range(max(at) + WINDOW), trials, strict=False):
        begin = time.perf_counter()
        store.record(trial, NOTES)
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return {size: statistics.median(milliseconds[size : size + WINDOW]) for size in at}


def opening(folder: Path, script: str) -> Opening:
    """Run a script on a study: the median of `REPEATS` processes."""
    seconds, peaks = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", script.format(folder=str(folder)) + _PEAK],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        seconds.append(time.perf_counter() - begin)
        peaks.append(int(done.stderr) / 1024)
    return Opening(statistics.median(seconds), statistics.median(peaks))


@contextmanager
def storages() -> Iterator[dict[str, StorageUrl | None]]:
    """The kinds of storage, each with a fresh place."""
    with running_server() as server:
        yield {"journal": None, "postgresql": StorageUrl.parse(server.fresh())}


def measure(trials: int) -> dict[str, dict[str, object]]:
    """What each kind of storage costs."""
    info = replace(InstantBench(Stopwatch()).info, name="scale", config={"name": "scale"})
    found: dict[str, dict[str, object]] = {}
    with storages() as urls, tempfile.TemporaryDirectory() as name:
        for kind, url in urls.items():
            folder = Path(name) / kind
            folder.mkdir()
            settle(folder, url, info.name, folder)
            with StudyStore.create(folder, info) as store:
                ms_at = grow(store, make_trials(trials), (FIRST, trials - WINDOW))
            front, opened = opening(folder, _FRONT), opening(folder, _OPEN)
            found[kind] = {
                "record_ms": {str(size): round(ms, 2) for size, ms in ms_at.items()},
                "front_seconds": round(front.seconds, 2),
                "front_peak_mb": round(front.peak_mb),
                "open_seconds": round(opened.seconds, 2),
                "open_peak_mb": round(opened.peak_mb),
            }
    return found
