"""Whole searches on workers that are processes of their own."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.search.api import run_search
from paretune.search.config import Config, load_config
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.study import Study
from paretune.search.trial import Trial
from paretune.search.workbench import Workbench
from tests.search import tiny
from tests.search.driving import Recorder
from tests.search.tiny import project

__all__ = ["project"]


def loaded(folder: Path, output: str, **search: Any) -> Config:
    sections = {"trials": 20, "sampler": "random", **search}
    return load_config(tiny.write(folder, search=sections, output=output))


def deterministic(study: Study) -> dict[str, tuple[Any, ...]]:
    """By policy, what does not depend on who measured it."""
    return {
        trial.policy.key: (
            trial.status,
            trial.artifact_sha256,
            {name: (m.value, m.conditions) for name, m in trial.measurements.items()},
        )
        for trial in study.store.trials()
    }


def test_workers_measure_what_one_process_does(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run_search(loaded(project, "alone", trials=30, racing=False))
    here: list[SplitName] = []
    measure_only = Workbench.measure_only

    def noting(
        bench: Workbench, artifact: Artifact, split: SplitName, *asked: Any
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        here.append(split)
        return measure_only(bench, artifact, split, *asked)

    monkeypatch.setattr(Workbench, "measure_only", noting)
    team = run_search(loaded(project, "team", trials=30, racing=False, cluster="local:2"))
    # The reference came first: there were no workers yet.
    assert here == ["search"]
    assert team.outcome is not None
    assert team.outcome.reason == alone.outcome.reason  # type: ignore[union-attr]
    ours, theirs = deterministic(team), deterministic(alone)
    both = ours.keys() & theirs.keys()
    assert len(both) > 5
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}
    assert all(trial.test for trial in team.store.trials() if trial.confirmed)
    tested = {t.policy: (dict(t.confirmed), dict(t.test)) for t in alone.store.trials() if t.test}
    again = [t for t in team.store.trials() if t.policy in tested and t.test]
    assert len(again) > 2
    for trial in again:
        assert (dict(trial.confirmed), dict(trial.test)) == tested[trial.policy]
    left = {path.name for path in (project / "team").iterdir()}
    assert not {name for name in left if "scratch" in name or name.startswith((".", "cluster"))}


class Killer(Recorder):
    """Kills a worker, with all that it runs, as soon as there are some trials."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[int] = []

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        super().on_trial(trial, snapshot)
        if not self.killed and snapshot.trials == 8 and snapshot.phase is Phase.SEARCH:
            victim = evaluating()
            self.killed.append(victim)
            os.kill(victim, signal.SIGKILL)


def evaluating() -> int:
    """A Dask worker that has a process for its evaluators."""
    for process in psutil.Process().children(recursive=True):
        parent: int = process.ppid()
        if "paretune.evaluators.isolation.worker" in process.cmdline() and parent != os.getpid():
            return parent
    raise AssertionError("no worker has begun")


def test_a_worker_that_dies_loses_no_trial(project: Path) -> None:
    killer = Killer()
    config = loaded(project, "team", trials=30, cluster="local:2")
    study = run_search(config, listeners=[killer])
    trials = study.store.trials()
    assert killer.killed
    assert len({trial.policy for trial in trials}) == len(trials) == 30
    assert not [trial.reason for trial in trials if trial.reason]
    deadline = time.monotonic() + 30
    while any("isolation.worker" in " ".join(p.cmdline()) for p in children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            process.cmdline()
        except psutil.Error:
            continue
        found.append(process)
    return found


def test_latencies_are_measured_beside_the_workers(project: Path) -> None:
    """The machine needs a core for each."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core only")
    path = tiny.write(
        project,
        objectives=["accuracy", "latency_ratio"],
        metrics=["size_bytes"],
        evaluators=[{"type": "latency", "max_seconds": 0.05}],
        search={"trials": 14, "sampler": "nsga2", "cluster": "local"},
        output="beside",
    )
    study = run_search(load_config(path))
    trials = study.store.trials()
    assert len(trials) == 14
    for trial in trials:
        if trial.measurements:
            assert list(trial.measurements) == ["accuracy", "latency_ratio", "size_bytes"]
    with StudyStore.open(project / "beside") as store:
        kept = yaml.safe_load((project / "beside" / "config.yaml").read_text())
        assert store.info.name == kept["name"]
