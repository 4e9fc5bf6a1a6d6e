"""What racing saves, and what it costs: the same policies measured with and without it.

A search without racing (the experiment's sampler and seed) chooses the policies and measures each
in full. Then they pass in the same order once more, racing against the front so far. With a racing
search of its own the sampler would soon choose other policies, and the fronts would differ by luck.
Latencies and sizes are those that the search took, with the seconds they took; answers run anew,
for each policy once on the whole split and once racing, one right after the other, so that a busy
machine slows both down. At the end, whoever would be on the front by an estimate is measured in
full, as the confirm phase does. Both fronts are then compared by the search's own figures.

Printed per experiment: seconds per trial of running answers, and of all measuring; how often racing
is quicker; the hypervolume of the racing front as a share of the whole one. Last line: JSON.

Run: python -m experiments.benchmarks.racing [EXPERIMENT ...] [--trials N]
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from experiments.benchmarks.setting import EXPERIMENTS, config_of
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.api import run_search
from paretune.search.archive import Archive
from paretune.search.attempt import Job, attempt
from paretune.search.bench import Measured
from paretune.search.front import front, hypervolume
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.search.workbench import Workbench
from paretune.spaces import Policy

TRIALS = 150


@dataclass
class Replay:
    """A bench whose answers run, and whose other figures are those of an earlier search.

    Attributes:
        bench: the experiment's, for racing.
        other: another one, for whole splits: from them the first one would learn too much.
        known: policy to its trial in that search.
        answers: seconds of running answers, one entry a candidate.
        others: seconds that everything else had taken.
        whole: seconds of running the answers to the whole split.
    """

    bench: Workbench
    other: Workbench
    known: Mapping[Policy, Trial]
    answers: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.space, self.info = self.bench.space, self.bench.info
        self._sampled = {metric.name for metric in self.info.metrics if metric.sampled}

    def apply(self, policy: Policy, path: Path) -> Artifact:
        artifact = self.bench.apply(policy, path)
        _, seconds = self.other.measure_only(artifact, "search", self._sampled)
        self.whole.append(sum(seconds.values()))
        self.answers.append(0.0)
        self.others.append(0.0)
        return artifact

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        return self.measure_only(artifact, split, {metric.name for metric in self.info.metrics})

    def measure_only(
        self, artifact: Artifact, split: SplitName, metrics: Set[str], part: Part | None = None
    ) -> Measured:
        trial = self.known[artifact.policy]
        found: dict[str, Measurement] = {}
        if asked := metrics & self._sampled:
            run, spent = self.bench.measure_only(artifact, split, asked, part)
            found |= run
            self.answers[-1] += sum(spent.values())
        if metrics - self._sampled:
            self.others[-1] += self.elsewhere(trial)
        return found | {name: trial.measurements[name] for name in metrics - self._sampled}, {}

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        """Nothing."""

    def elsewhere(self, trial: Trial) -> float:
        """Seconds that the search took for what is not sampled."""
        ours = {"apply", "total", "accuracy"}
        return sum(spent for part, spent in trial.seconds.items() if part not in ours)


def compare(name: str, trials: int, folder: Path) -> dict[str, float]:
    """Run the search of one experiment, and its policies again with racing."""
    config = config_of(name, folder / name)
    search = config.search.model_copy(update={"trials": trials, "time": None, "racing": False})
    tracking = config.tracking.model_copy(update={"enabled": False})
    config = config.model_copy(update={"search": search, "tracking": tracking})
    run_search(config)
    store = StudyStore.open(config.output)
    known = [t for t in store.searched_trials() if t.status is TrialStatus.COMPLETE]
    reference = store.hypervolume_reference
    assert reference is not None
    with Workbench.open(config) as bench, Workbench.open(config) as other:
        replay = Replay(bench, other, {trial.policy: trial for trial in known})
        raced = _race(replay, known, folder / "candidate.onnx")
        objectives = bench.info.objectives
    # The confirm phase measures all that may be members in full.
    final = (*front(raced, objectives), *front(raced, objectives, partial=True))
    members = {trial.policy for trial in final}
    point = np.array(reference)
    kept = hypervolume([t for t in known if t.policy in members], objectives, point)
    whole = hypervolume(known, objectives, point)
    count = len(known)
    elsewhere = [replay.elsewhere(trial) for trial in known]
    found = {
        "trials": float(count),
        "stopped": float(sum(trial.stopped for trial in raced)),
        "answers_whole_s": sum(replay.whole) / count,
        "answers_racing_s": sum(replay.answers) / count,
        "measuring_whole_s": (sum(replay.whole) + sum(elsewhere)) / count,
        "measuring_racing_s": (sum(replay.answers) + sum(replay.others)) / count,
    }
    found["answers_times"] = found["answers_whole_s"] / found["answers_racing_s"]
    found["measuring_times"] = found["measuring_whole_s"] / found["measuring_racing_s"]
    found["hypervolume_share"] = kept / whole
    return found


def _race(replay: Replay, known: list[Trial], path: Path) -> list[Trial]:
    archive = Archive(replay.info.objectives)
    seeds = set(seed_policies(replay.space))
    raced: list[Trial] = []
    for trial in known:
        rivals = None if trial.policy in seeds else archive.members
        done = attempt(replay, Job(trial.policy, rivals=rivals), path)
        if done.status is TrialStatus.FAILED:
            raise SystemExit(f"error: trial {trial.number} failed: {done.reason}")
        broken = tuple(
            str(c)
            for c in replay.info.constraints
            if done.status is TrialStatus.COMPLETE and c.violation(done.measurements) > 0
        )
        ended = replace(done, number=trial.number, violations=broken)
        archive.extend([ended])
        raced.append(ended)
    return raced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiments", nargs="*", default=["fashion_resnet", "minilm_reuters"])
    parser.add_argument("--trials", type=int, default=TRIALS)
    given = parser.parse_args()
    if unknown := set(given.experiments) - set(EXPERIMENTS):
        raise SystemExit(f"error: no experiment {', '.join(unknown)}; {', '.join(EXPERIMENTS)}")
    results = {}
    for name in given.experiments:
        with tempfile.TemporaryDirectory() as folder:
            found = results[name] = compare(name, given.trials, Path(folder))
        print(f"{name}: {found['stopped']:.0f} of {found['trials']:.0f} trials stopped early")
        print("  seconds per trial      whole   racing")
        for part in ("answers", "measuring"):
            whole, racing = found[f"{part}_whole_s"], found[f"{part}_racing_s"]
            times = found[f"{part}_times"]
            print(f"  {part:<18}{whole:>10.3f}{racing:>9.3f}   {times:.2f} times quicker")
        print(f"  hypervolume of the racing front: {found['hypervolume_share']:.2%}", flush=True)
    rounded = {n: {k: round(v, 4) for k, v in found.items()} for n, found in results.items()}
    print(json.dumps(rounded))


if __name__ == "__main__":
    main()
