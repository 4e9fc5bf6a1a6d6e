"""Where a trial's time goes: a real search of `fashion_resnet`, MLflow and storage included.

ResNet-8, 2,000 images for the accuracy, one latency measurement. The wall time of the search phase
is split into `apply`, the evaluators, and the rest: sampling, storing, the front, progress, MLflow.

Run: python -m experiments.benchmarks.trial_cost
"""

import json
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path

from experiments.benchmarks.setting import config_of
from paretune.search.api import run_search
from paretune.search.store import StudyStore

TRIALS = 120


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "study"
        config = config_of("fashion_resnet", output)
        tracking = config.tracking.model_copy(update={"uri": f"sqlite:///{folder}/mlflow.db"})
        search = config.search.model_copy(update={"trials": TRIALS, "time": None})
        run_search(config.model_copy(update={"tracking": tracking, "search": search}))
        trials = StudyStore.open(output).trials()
    walls = [later.finished_at - earlier.finished_at for earlier, later in pairwise(trials)]
    parts = {
        part: 1e3 * statistics.fmean(trial.seconds.get(part, 0.0) for trial in trials[1:])
        for part in ("apply", "accuracy", "latency")
    }
    wall = 1e3 * statistics.fmean(walls)
    driver = wall - sum(parts.values())
    share = (parts["accuracy"] + parts["latency"]) / wall
    print(f"{len(walls)} trials, {wall:.0f} ms each")
    for name, value in {**parts, "driver": driver}.items():
        print(f"{name:10}{value:9.1f} ms{value / wall:8.1%}")
    figures = {f"{name}_ms": round(value, 2) for name, value in {**parts, "driver": driver}.items()}
    print(json.dumps({"inference_share": round(share, 4), **figures}))


if __name__ == "__main__":
    main()
