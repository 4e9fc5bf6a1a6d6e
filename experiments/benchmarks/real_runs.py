"""One real search for a benchmark: run, and looked at afterwards with fresh eyes."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from experiments.benchmarks.setting import config_of
from paretune.evaluators import Metric, Splits
from paretune.search.api import run_search
from paretune.search.attempt import measure_again
from paretune.search.certainty import Relation, spans
from paretune.search.front import front
from paretune.search.landmark import landmarks
from paretune.search.standing import standings
from paretune.search.study import Study
from paretune.search.trial import Trial
from paretune.search.turnover import turnover
from paretune.search.workbench import Workbench, load_data

FOLDER = Path("runs/real_search")
RESULTS = FOLDER / "results.jsonl"
UNIFORM = "uniform int8"


@dataclass(frozen=True)
class Claim:
    """A member that was shown as better than uniform int8.

    Attributes:
        trial: its number.
        held: on fresh latencies and test samples that the study has not seen, all that was surely
            better is better by its figure, and nothing is surely worse.
        surely: something is also surely better there.
    """

    trial: int
    held: bool
    surely: bool


@dataclass(frozen=True)
class Run:
    """What came of one search.

    Attributes:
        experiment, sampler, seed, seconds: what was run; the seconds are its budget.
        trials: how many policies it measured in that time.
        directions: of the objectives, by name.
        members, landmarks: test figures of the objectives.
        turnover: what became of the front, in words.
        claims: of the members shown as better than uniform int8.
    """

    experiment: str
    sampler: str
    seed: int
    seconds: float
    trials: int
    directions: dict[str, str]
    members: list[list[float]]
    landmarks: dict[str, list[float]]
    turnover: str
    claims: list[Claim]

    @property
    def key(self) -> tuple[str, str, int, float]:
        return self.experiment, self.sampler, self.seed, self.seconds


def finished() -> Iterator[Run]:
    """The runs of earlier calls."""
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            data = json.loads(line)
            yield Run(**{**data, "claims": [Claim(**claim) for claim in data["claims"]]})


def run(experiment: str, sampler: str, seed: int, seconds: float) -> Run:
    """Search for so long, confirming and testing included, then measure the claims afresh."""
    output = FOLDER / experiment
    config = config_of(experiment, output)
    # What preparing the model has made is shared; nothing else of an earlier run is.
    for path in output.iterdir() if output.exists() else ():
        if path.name != "cache":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    search = config.search.model_copy(
        update={"sampler": sampler, "seed": seed, "time": seconds, "trials": None}
    )
    tracking = config.tracking.model_copy(update={"enabled": False})
    searched, fresh = _halves(load_data(config))
    changed = config.model_copy(update={"search": search, "tracking": tracking})
    study = run_search(changed, searched)
    info, trials = study.info, study.store.trials()
    members = [member for member in front(trials, info.objectives) if member.test]
    found = Run(
        experiment=experiment,
        sampler=sampler,
        seed=seed,
        seconds=seconds,
        trials=len(trials),
        directions={metric.name: metric.direction for metric in info.objectives},
        members=[tested(member, info.objectives) for member in members],
        landmarks={
            name: tested(mark, info.objectives)
            for name, mark in landmarks(trials).items()
            if mark.test
        },
        turnover=str(turnover(info, trials)),
        claims=claims(study, members, fresh),
    )
    with RESULTS.open("a") as file:
        file.write(json.dumps(asdict(found)) + "\n")
    return found


def tested(trial: Trial, objectives: tuple[Metric, ...]) -> list[float]:
    return [trial.test[metric.name].value for metric in objectives]


def _halves(data: Splits) -> tuple[Splits, Splits]:
    """What a study gets, and the same with test samples that it never sees."""
    return replace(data, test=data.test[::2]), replace(data, test=data.test[1::2])


def claims(study: Study, members: list[Trial], fresh_data: Splits) -> list[Claim]:
    """Look at the members that are shown as better than uniform int8."""
    info, trials = study.info, study.store.trials()
    standing = standings(info, trials, members)
    uniform = landmarks(trials).get(UNIFORM)
    claimed = [
        member
        for member in members
        if standing[member.number].versus.get(UNIFORM) is Relation.BETTER
    ]
    if uniform is None or not uniform.test or not claimed:
        return []
    looked = []
    with Workbench.open(study.config(), fresh_data) as bench:
        for member in claimed:
            # One after the other, so that the machine is in the same mood for both.
            known = spans([member, uniform], info.objectives)
            fresh = spans([afresh(bench, t) for t in (member, uniform)], info.objectives)
            was, now = known.surely_better(known)[0, 1], fresh.surely_better(fresh)
            still = bool((fresh.value[0] < fresh.value[1])[was].all())
            held = still and not now[1, 0].any()
            looked.append(Claim(member.number, held, bool(held and now[0, 1].any())))
    return looked


def afresh(bench: Workbench, trial: Trial) -> Trial:
    """The trial with everything measured now."""
    again = measure_again(bench, trial.policy, "test", FOLDER / "candidate.onnx")
    return replace(trial, confirmed=again)
