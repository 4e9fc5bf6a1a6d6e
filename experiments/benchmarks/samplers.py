"""How many trials does a sampler need? Every one on spaces whose true front is known.

Spaces are tables that were measured exhaustively, and generated ones. All samplers begin with the
same policies, the uniform ones; a policy that is proposed again is no new trial. Counted is the
hypervolume of the true values of those policies that the observed values put on the front, as a
share of the true front's: figures that noise has flattered do not count, and what noise has hidden
is lost. In a table the observed and the true latencies come from independent measurements, and what
is to be found is what one sees who measures every policy: noise hides more than a tenth from him.

Medians over the seeds; every seed is another generated space, or swaps the halves of a table. What
a sampler that is stopped at the time limit has not reached by then, it has not reached. An oracle,
which knows the truth and takes the best policy next, shows what is possible at all.

Run: python -m experiments.benchmarks.samplers [--spaces A,B] [--samplers A,B] [--plot FILE.png]
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from experiments.benchmarks.ask_cost import KNOBS, TOLD, ask_cost
from experiments.benchmarks.oracle import oracle
from experiments.benchmarks.replay import problem, spaces
from experiments.benchmarks.replayed_search import Trace
from experiments.benchmarks.sampler_runs import Task, run_all
from experiments.benchmarks.sampler_summary import (
    BLIND,
    EARLY,
    ORACLE,
    OURS,
    Summary,
    ratios,
    summarize,
)
from experiments.benchmarks.samplers_plot import draw
from paretune.search.samplers import sampler_names

BUILT_IN = ("nsga2", "nsga3", "tpe", "random", "gp")
USUAL = ("digits", "fashion_resnet", "generated20", "generated60", "generated100")
TRIALS = {"generated20": 1500, "generated60": 2000, "generated100": 2000, "generated200": 2000}
OTHERWISE = 1000


def main() -> None:
    given = _arguments()
    logging.disable(logging.WARNING)
    if given.ask_cost:
        costs = {name: ask_cost(name, given.limit) for name in given.samplers}
        for name, cost in costs.items():
            print(f"{name:10}{cost:10.1f} ms an ask: {TOLD:,} trials, {KNOBS} knobs")
        print(json.dumps({"ask_ms": {name: round(cost, 2) for name, cost in costs.items()}}))
        return
    trials = {space: given.trials or TRIALS.get(space, OTHERWISE) for space in given.spaces}
    tasks = [
        Task(space, sampler, seed, trials[space], given.limit)
        for space in given.spaces
        for seed in range(given.seeds)
        for sampler in given.samplers
    ]
    traces = _traces(tasks, given.processes, given.reuse)
    result = {}
    for space, runs in traces.items():
        known = [oracle(problem(space, seed)) for seed in range(given.seeds)]
        summary = summarize({**runs, ORACLE: known})
        ratio = ratios(summary, trials[space]) if OURS in runs else {}
        _show(space, summary, ratio, given.seeds, trials[space])
        result[space] = {"samplers": summary, "ratio": ratio}
    if given.plot:
        draw(traces, given.plot)
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    known = spaces()
    usual = [space for space in USUAL if space in known]
    parser.add_argument("--spaces", type=_names(known), default=usual, help=", ".join(known))
    parser.add_argument(
        "--samplers", type=_names([*sampler_names(), BLIND]), default=[OURS, BLIND, *BUILT_IN]
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, help="a run; by default what suits the space")
    parser.add_argument("--limit", type=float, default=120, help="seconds of a sampler, a run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--reuse", action="store_true", help="take runs that were done earlier")
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    parser.add_argument("--ask-cost", action="store_true", help="only the time of an ask")
    return parser.parse_args()


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                allowed = ", ".join(known)
                raise argparse.ArgumentTypeError(f"unknown '{name}': allowed are {allowed}")
        return names

    return parse


def _traces(
    tasks: Sequence[Task], processes: int, reuse: bool
) -> Mapping[str, Mapping[str, Sequence[Trace]]]:
    """Space to sampler to a trace for every seed."""
    kept = {task: task.kept() if reuse else None for task in tasks}
    done = {task: found for task, found in kept.items() if found is not None}
    for task, found in run_all([task for task in tasks if task not in done], processes):
        done[task] = found
        print(
            f"{len(done)}/{len(tasks)} {task.space} {task.sampler} {task.seed}:"
            f" {found.share[-1]:.3f} after {len(found.share)} trials, {found.seconds[-1]:.0f} s",
            file=sys.stderr,
        )
    traces: dict[str, dict[str, list[Trace]]] = {}
    for task in tasks:
        traces.setdefault(task.space, {}).setdefault(task.sampler, []).append(done[task])
    return traces


def _show(
    space: str, summary: Summary, ratio: Mapping[str, float | None], seeds: int, trials: int
) -> None:
    reached = [key for key in next(iter(summary.values())) if key.startswith("trials_")]
    print(f"{space}: medians of {seeds} seeds, at most {trials} trials")
    titles = [f"to {key.removeprefix('trials_')}%" for key in reached]
    titles += [f"at {EARLY}", "last", "ms", "finished"]
    print(f"  {'':10}" + "".join(f"{title:>10}" for title in titles))
    for sampler, one in summary.items():
        texts = ["-" if (n := one[key]) is None else f"{n:.0f}" for key in reached]
        texts += [f"{one['early']:.1%}", f"{one['last']:.1%}"]
        texts += [f"{one['ms']:.1f}", f"{one['finished']:.0%}"]
        print(f"  {sampler:10}" + "".join(f"{text:>10}" for text in texts))
    if ratio:
        texts = ["-" if n is None else f"{n:.3f}" for n in ratio.values()]
        print(f"  {'ratio':10}" + "".join(f"{text:>10}" for text in texts), flush=True)


if __name__ == "__main__":
    main()
