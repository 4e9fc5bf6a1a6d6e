"""Real searches of equal wall time: what does each sampler's front look like on the test split?

Every search is `paretune search`'s own, unreplayed: models are built and measured, the front is
confirmed and tested, all within the same time. The samplers take turns, since a machine has moods.
Hypervolumes are those of the final fronts' test figures, up to one point that is common to all runs
of an experiment: the worst figures of any member or landmark, and a tenth of their range more. Of
the members that were shown as better than uniform int8 it is told how many are so on fresh
latencies, and on the half of the test samples that is kept from the search.

What has been run is kept in `runs/real_search/results.jsonl`; the same command goes on.

Run: python -m experiments.benchmarks.real_search [EXPERIMENT ...] [--seconds 600] [--runs 3]
     [--samplers guided,nsga2,tpe]
"""

import argparse
import json
import logging
from collections.abc import Sequence
from statistics import median
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.real_runs import RESULTS, Run, finished, run
from experiments.benchmarks.setting import EXPERIMENTS
from paretune.search.samplers import check_sampler

DEFAULT = ("fashion_resnet", "minilm_reuters")
OURS = "guided"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=DEFAULT, metavar="EXPERIMENT")
    parser.add_argument("--seconds", type=float, default=600.0, help="of every search")
    parser.add_argument("--runs", type=int, default=3, help="of every sampler, with other seeds")
    parser.add_argument("--samplers", default=f"{OURS},nsga2,tpe", help="names, by commas")
    asked = parser.parse_args()
    if unknown := set(asked.experiments) - set(EXPERIMENTS):
        parser.error(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    samplers = asked.samplers.split(",")
    for sampler in samplers:
        check_sampler(sampler)
    logging.disable(logging.WARNING)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    known = {one.key: one for one in finished()}
    taken = []
    for seed in range(asked.runs):
        for experiment in asked.experiments:
            # Who goes first changes from round to round.
            for sampler in samplers[seed % len(samplers) :] + samplers[: seed % len(samplers)]:
                found = known.get((experiment, sampler, seed, asked.seconds))
                found = found or run(experiment, sampler, seed, asked.seconds)
                taken.append(found)
                print(f"{experiment}, {sampler}, seed {seed}: {found.trials} trials", flush=True)
                print(f"  {found.turnover}", flush=True)
    summary: dict[str, Any] = {
        experiment: compare(experiment, [one for one in taken if one.experiment == experiment])
        for experiment in asked.experiments
    }
    claims = [claim for one in taken for claim in one.claims]
    held = sum(claim.held for claim in claims)
    print(f"\nshown as better than uniform int8: {len(claims)}; so on fresh figures: {held}")
    summary |= {
        "seconds": asked.seconds,
        "claims": len(claims),
        "claims_held": round(held / len(claims), 4) if claims else None,
        "claims_surely": round(sum(claim.surely for claim in claims) / len(claims), 4)
        if claims
        else None,
    }
    print(json.dumps(summary))


def compare(experiment: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Print an experiment's table."""
    reference = beyond_worst([points(one) for one in runs])
    volumes: dict[str, list[float]] = {}
    print(f"\n{experiment}: hypervolume on the test split up to {reference.round(4).tolist()}")
    print(
        f"{'sampler':>10} {'seed':>5} {'trials':>7} {'front':>6} {'hypervolume':>12}  best figures"
    )
    for one in sorted(runs, key=lambda one: (one.sampler, one.seed)):
        members = costs(one, one.members)
        volume = float(moocore.hypervolume(members, ref=reference)) if len(members) else 0.0
        volumes.setdefault(one.sampler, []).append(volume)
        best = members.min(axis=0) * signs(one) if len(members) else []
        figures = ", ".join(
            f"{name} {value:.4g}" for name, value in zip(one.directions, best, strict=False)
        )
        print(
            f"{one.sampler:>10} {one.seed:>5} {one.trials:>7} {len(members):>6} {volume:>12.5g}"
            f"  {figures}"
        )
    medians = {sampler: median(found) for sampler, found in volumes.items()}
    told: dict[str, Any] = {
        "hypervolume": {name: float(f"{value:.5g}") for name, value in medians.items()}
    }
    others = {name: value for name, value in medians.items() if name != OURS}
    if OURS in medians and others:
        best_other = max(others, key=lambda name: others[name])
        told["best_built_in"] = best_other
        if others[best_other]:
            told["guided_to_best"] = round(medians[OURS] / others[best_other], 4)
        told["guided_wins"] = sum(
            a > b for a, b in zip(volumes[OURS], volumes[best_other], strict=True)
        )
    return told


def signs(one: Run) -> NDArray[np.float64]:
    """Shape (objectives,): 1 where less is better, else -1."""
    return np.array([1.0 if d == "minimize" else -1.0 for d in one.directions.values()])


def costs(one: Run, figures: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Shape (figures, objectives), turned so that less is better."""
    return np.array(figures, dtype=np.float64).reshape(len(figures), len(signs(one))) * signs(one)


def points(one: Run) -> NDArray[np.float64]:
    """Of members and landmarks."""
    return costs(one, [*one.members, *one.landmarks.values()])


def beyond_worst(found: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Shape (objectives,): the ends of a front count, too."""
    every = np.concatenate(found)
    low, high = every.min(axis=0), every.max(axis=0)
    reference: NDArray[np.float64] = high + 0.1 * np.where(high > low, high - low, np.abs(high))
    return reference


if __name__ == "__main__":
    main()
