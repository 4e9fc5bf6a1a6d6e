"""What a process takes that goes on with a large study: its memory, and the steps at the end.

Run by `cost`: python -m experiments.benchmarks.scaling.resuming FOLDER
"""

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments.benchmarks.driver_cost import InstantBench, Stopwatch
from paretune.search.budget import Budget
from paretune.search.driver import Driver
from paretune.search.listener import Phase, Snapshot
from paretune.search.samplers import make_sampler
from paretune.search.store import StudyStore
from paretune.search.trial import Trial

FEW = 50


class Steps:
    """A listener that notes when the steps after the search ended.

    Attributes:
        at: seconds.
    """

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_start(self, store: StudyStore) -> None:
        pass

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        if snapshot.phase is not Phase.SEARCH:
            self.at.append(time.perf_counter())

    def on_phase(self, snapshot: Snapshot) -> None:
        pass

    def on_end(self, snapshot: Snapshot) -> None:
        pass


def resuming(folder: Path) -> dict[str, float]:
    """Add a few trials to a study and confirm its front, in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    steps = Steps()
    with StudyStore.open(Path(sys.argv[1]), writable=True) as store:
        budget = Budget(len(store.trials()) + FEW)
        sampler = make_sampler("guided", 0)
        Driver(InstantBench(Stopwatch()), store, sampler, budget, listeners=[steps]).run()
        taken = [1000 * (end - begin) for begin, end in zip(steps.at, steps.at[1:], strict=False)]
        found = {
            "trials": len(store.trials()),
            "confirm_steps": len(taken),
            "confirm_ms": round(statistics.median(taken), 2),
            "peak_mb": round(_peak_mb()),
        }
    print(json.dumps(found))


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s*(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
