"""A night on a cluster in which parts of it die: is anything lost?

`paretune search` with a Dask scheduler and two `paretune worker`s, the study in a PostgreSQL
database, and a real MLflow server; all on this machine. On the way

- one worker is killed with all its processes while it is at a job, and later another one joins;
- the MLflow server is killed, and, once the search has said that it goes on without it, started
  again with the same database.

In the end: the search's exit code is 0; the study has as many trials as were asked for, no policy
twice, none failed; the front is confirmed and tested; MLflow's runs, metrics and artifacts are
what `paretune sync` writes into an empty store; `paretune pick` writes a model; no process and no
temporary file is left.

Run: python -m experiments.benchmarks.night [--experiment fashion_resnet] [--trials 60]
"""

import argparse
import json
import signal
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import yaml

from experiments.benchmarks.kills.whole import Broken
from experiments.benchmarks.night.morning import check
from experiments.benchmarks.night.night import Night
from experiments.benchmarks.night.servers import running_servers
from experiments.benchmarks.setting import EXPERIMENTS, FOLDER
from paretune.search.cluster.cores import allowed_cores, running_on, split_cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", choices=EXPERIMENTS, default="fashion_resnet")
    parser.add_argument("--trials", type=int, default=60)
    asked = parser.parse_args()
    # Nothing is left running, however it ends.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    config = yaml.safe_load((FOLDER / f"{asked.experiment}.yaml").read_text(encoding="utf-8"))
    # One for the latencies; nothing but the search may disturb them.
    cores = allowed_cores()
    others, _ = split_cores(cores, 1)
    with tempfile.TemporaryDirectory(prefix="paretune-night-") as name:
        folder = Path(name)
        with (
            running_on(others),
            running_servers(folder) as servers,
            closing(
                Night(
                    config,
                    folder,
                    servers,
                    trials=asked.trials,
                    cwd=Path.cwd(),
                    search_cores=cores,
                    say=lambda text: print(text, flush=True),
                )
            ) as night,
        ):
            try:
                story = night.run()
                print(story.printed, flush=True)
                found = check(night, story, folder)
            except Broken as error:
                sys.exit(f"error: {error}")
    print(json.dumps({"experiment": asked.experiment, **found}))


if __name__ == "__main__":
    main()
