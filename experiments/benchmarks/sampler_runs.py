"""Runs of samplers on problems whose truth is known, kept as one Parquet file each."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.benchmarks.replay import problem
from experiments.benchmarks.replayed_search import Trace, trace
from paretune.search.samplers import make_sampler

FOLDER = Path("runs/samplers")
_KEY = b"paretune.sampler_run"
_CURVES = ("share", "found", "seconds")


@dataclass(frozen=True)
class Task:
    """One run.

    Attributes:
        space: as `replay.problem` knows it.
        sampler: as `paretune search` knows it, or `NAME:blind` for one without clues.
        seed: of the space, of the sampler, and of the noise.
        trials: policies to measure.
        limit: seconds of the sampler.
    """

    space: str
    sampler: str
    seed: int
    trials: int
    limit: float

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return FOLDER / self.space / f"{self.sampler}-{self.seed}.parquet"

    def run(self) -> Trace:
        """Search, and keep the result."""
        given = problem(self.space, self.seed)
        name, _, blind = self.sampler.partition(":")
        found = trace(
            given,
            make_sampler(name, self.seed, {} if blind else given.clues),
            self.seed,
            self.trials,
            self.limit,
        )
        curves = pa.table({name: getattr(found, name).astype(np.float32) for name in _CURVES})
        meta = json.dumps({**asdict(self), "finished": found.finished})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(curves.replace_schema_metadata({_KEY: meta.encode()}), self.path)
        return found

    def kept(self) -> Trace | None:
        """The result of an earlier run of the very same."""
        if not self.path.exists():
            return None
        curves = pq.read_table(self.path)
        meta = json.loads(curves.schema.metadata[_KEY])
        finished = meta.pop("finished")
        if meta != asdict(self):
            return None
        share, found, seconds = (curves[name].to_numpy().astype(float) for name in _CURVES)
        return Trace(share, found, seconds, finished)


def run_all(tasks: Iterable[Task], processes: int) -> Iterator[tuple[Task, Trace]]:
    """Run in several processes; results come as they are done."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running = {pool.submit(task.run): task for task in tasks}
        for future in as_completed(running):
            yield running[future], future.result()
