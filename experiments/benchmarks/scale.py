"""How a search grows: with its workers, and with its trials.

Each part stands beside what it is compared with, measured in the same run:

- `workers`: trials a second of a real search with one and with two workers on this machine, where
  accuracy is all that takes time (target: 1.8 times as many on two cores).
- `busy`: how much of the time of 64 simulated workers, whose trials sleep for 2 s, goes into
  trials (target: 0.95); the guided sampler beside one that draws at random.
- `cost`: milliseconds of a trial after 100, 1,000 and 20,000 others, on a journal and on PostgreSQL
  (target: at most 1.5 times as many at the end); memory of the driver (target: 1,000 MB).
- `store`: writing a trial, and `paretune front` (target: 5 s).

The last line is all of it as one JSON object.

Run: python -m experiments.benchmarks.scale [PART ...] [--trials 20000] [--small]
"""

import argparse
import json
import logging
from collections.abc import Callable

SMALL = 400
PARTS = ("workers", "busy", "cost", "store")


def workers(small: bool, trials: int) -> dict[str, object]:
    """Two workers beside one."""
    from experiments.benchmarks.scaling.workers import measure

    return dict(measure("digits", 15, 1) if small else measure("fashion_resnet", 60, 3))


def busy(small: bool, trials: int) -> dict[str, object]:
    """The guided sampler beside random draws."""
    from experiments.benchmarks.scaling.busy import busy as share

    size = (8, 0.3, 60) if small else (64, 2.0, 1500)
    return {sampler: round(share(sampler, *size), 3) for sampler in ("guided", "random")}


def cost(small: bool, trials: int) -> dict[str, object]:
    """Large studies beside small ones, a journal beside PostgreSQL."""
    from experiments.benchmarks.scaling.cost import measure

    return measure(sorted({100, min(1000, trials), trials}))


def store(small: bool, trials: int) -> dict[str, object]:
    """A large study beside a small one, a journal beside PostgreSQL."""
    from experiments.benchmarks.scaling.store import measure

    return dict(measure(trials))


_MEASURES: dict[str, Callable[[bool, int], dict[str, object]]] = {
    "workers": workers,
    "busy": busy,
    "cost": cost,
    "store": store,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all by default")
    parser.add_argument("--trials", type=int, help="in the largest study (20000)")
    parser.add_argument("--small", action="store_true", help="only see that it works")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    trials = given.trials or (SMALL if given.small else 20_000)
    found = {}
    for part in given.parts or PARTS:
        print(f"{part}: {(_MEASURES[part].__doc__ or '').strip()}", flush=True)
        found[part] = _MEASURES[part](given.small, trials)
        print(json.dumps(found[part], indent=2), flush=True)
    print(json.dumps({"trials": trials, **found}))


if __name__ == "__main__":
    main()
