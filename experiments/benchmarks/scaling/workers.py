"""What a second worker brings: trials in the same time, where accuracy is all that takes time."""

import statistics
import tempfile
from pathlib import Path

from experiments.benchmarks.setting import config_of
from paretune.search.api import run_search
from paretune.search.cluster.address import ClusterSpec
from paretune.search.config import PluginSection
from paretune.search.study import Study

WARM = 10
"""Trials before anything counts: every worker has opened its workbench by then."""


def speed(experiment: str, workers: int, trials: int, folder: Path) -> float:
    """Trials a second of a real search with so many workers on this machine.

    Without latencies, and without racing, so that every trial costs about the same.
    """
    config = config_of(experiment, folder)
    search = config.search.model_copy(
        update={
            "sampler": "random",
            "trials": trials,
            "time": None,
            "racing": False,
            "cluster": ClusterSpec(processes=workers),
        }
    )
    changed = config.model_copy(
        update={
            "objectives": (config.objectives[0], "size_bytes"),
            "metrics": (),
            "constraints": (),
            # What runs at the same time are workers, each with one thread.
            "evaluators": tuple(map(_one_thread, config.evaluators)),
            "search": search,
            "tracking": config.tracking.model_copy(update={"enabled": False}),
        }
    )
    return _speed(run_search(changed))


def _one_thread(section: PluginSection) -> PluginSection:
    if section.type != "accuracy":
        return section
    return PluginSection(type="accuracy", **{**section.options, "threads": 1})


def _speed(study: Study) -> float:
    ended = [trial.spent for trial in study.store.trials()][WARM:]
    return (len(ended) - 1) / (ended[-1] - ended[0])


def measure(experiment: str, trials: int, rounds: int) -> dict[str, float]:
    """Speeds with one and with two workers, which take turns, and the median of their ratios."""
    ratios, speeds = [], []
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            one, two = (
                # The prepared model is shared, the studies are not.
                speed(experiment, workers, trials, _folder(Path(name), number, workers))
                for workers in (1, 2)
            )
            speeds.append((one, two))
            ratios.append(two / one)
            print(f"  round {number}: {one:.2f} and {two:.2f} trials a second", flush=True)
    return {
        "one": round(statistics.median(one for one, _ in speeds), 3),
        "two": round(statistics.median(two for _, two in speeds), 3),
        "ratio": round(statistics.median(ratios), 3),
    }


def _folder(parent: Path, number: int, workers: int) -> Path:
    folder = parent / f"{number}-{workers}"
    folder.mkdir()
    cache = parent / "cache"
    cache.mkdir(exist_ok=True)
    (folder / "cache").symlink_to(cache)
    return folder
