"""A bench whose answers can be measured in parts."""

import hashlib
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from paretune.evaluators import Artifact, Measurement, Metric, SplitName
from paretune.evaluators.accuracy.experience import Experience, forecast
from paretune.evaluators.intervals import Scores
from paretune.evaluators.part import Part
from paretune.search.bench import Measured
from paretune.search.constraint import Constraint
from paretune.search.info import StudyInfo
from paretune.search.racing import Take
from paretune.spaces import Policy
from tests.search.fake import FakeBench, figures, make_info, make_space

TOTAL = 800
DROP = Metric("accuracy_drop", "", "minimize", "accuracy lost", sampled=True)
LIMIT = Constraint("accuracy_drop", "<=", 0.06)


def racing_info(*constraints: Constraint) -> StudyInfo:
    info = make_info(constraints)
    objectives = (replace(info.objectives[0], sampled=True), info.objectives[1])
    return replace(info, objectives=objectives, metrics=(*objectives, info.metrics[2], DROP))


class Samples:
    """Hits and misses, sample by sample; fp32 is right on nine of ten, and on some hardly."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.before = (rng.random(TOTAL) < 0.9).astype(float)
        self.sure = rng.exponential(1.0, TOTAL)
        self.experience = Experience(TOTAL, 1 - self.before)

    def after(self, policy: Policy) -> Scores:
        lost = 0.95 - figures(policy)["accuracy"].value
        own = np.random.default_rng(int(hashlib.sha256(policy.key.encode()).hexdigest()[:8], 16))
        flipped = own.random(TOTAL) < np.minimum(1.0, 10 * lost) * np.exp(-8 * self.sure)
        return np.where(flipped, 1 - self.before, self.before)

    def measure(self, policy: Policy, metric: str, part: Part | None) -> Measurement:
        drop = metric == "accuracy_drop"
        gains = self.after(policy) - self.before
        base, sign = (0.0, -1) if drop else (float(self.before.mean()), 1)
        count = TOTAL if part is None else int(TOTAL * part.share)
        samples: dict[str, float | None] = {"count": count}
        if part is not None:
            samples["of"] = TOTAL
        value = base + sign * float(gains.mean())
        if count < TOTAL:
            rows = np.argsort(-self.experience.weight(), kind="stable")[:count]
            found = forecast(self.experience, rows, gains[rows])
            assert found.best is not None
            value, samples["best"] = (
                base + sign * float(found.gains.mean()),
                base + sign * found.best,
            )
        elif part is None:
            self.experience.add(np.arange(TOTAL), gains)
        return Measurement(value, value - 0.01, value + 0.01, samples, {"split": "search"})


class RacingBench(FakeBench):
    """A bench whose accuracy is that of samples.

    Attributes:
        asked: (policy, metrics, share) of every measurement, in order.
    """

    def __init__(self, *constraints: Constraint) -> None:
        super().__init__(make_space(5), racing_info(*constraints))
        self.asked: list[tuple[Policy, frozenset[str], float | None]] = []
        self.samples = Samples()

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        return self.measure_only(artifact, split, {metric.name for metric in self.info.metrics})

    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        self.trouble(artifact.policy, split)
        share = None if part is None else part.share
        self.asked.append((artifact.policy, frozenset(metrics), share))
        if split == "search":
            self.measured.append((artifact.policy, split))
        exact = figures(artifact.policy, split)
        found = {
            name: self.samples.measure(artifact.policy, name, part)
            if name.startswith("accuracy")
            else exact[name]
            for name in metrics
        }
        found = {
            name: replace(m, conditions={"split": split}) if "split" in m.conditions else m
            for name, m in found.items()
        }
        return found, {"fake": 1.0}

    def taking(self, policy: Policy) -> Take:
        """Measures this policy."""
        artifact = Artifact(Path("none"), policy, "")
        return lambda metrics, part: self.measure_only(artifact, "search", metrics, part)[0]


def whole(policy: Policy) -> dict[str, Measurement]:
    names = ("accuracy", "accuracy_drop")
    return figures(policy) | {name: Samples().measure(policy, name, None) for name in names}


def policies(count: int) -> list[Policy]:
    space = make_space(5)
    rng = np.random.default_rng(0)
    drawn = [
        space.decode({k.name: k.options[rng.integers(len(k.options))] for k in space.knobs})
        for _ in range(count)
    ]
    return list(dict.fromkeys(drawn))


def fixed(**values: float | Measurement) -> dict[str, Measurement]:
    found = {"size_bytes": Measurement(1.0), "accuracy_drop": Measurement(0.0)}
    return found | {
        n: v if isinstance(v, Measurement) else Measurement(v) for n, v in values.items()
    }


def part_of(value: float, best: float | None) -> Measurement:
    samples = {"count": 100, "of": TOTAL, "best": best}
    return Measurement(value, value - 0.1, value + 0.1, samples, {"split": "search"})


def on_split(value: float) -> Measurement:
    return Measurement(value, conditions={"split": "search"})


def spread(value: float, half: float) -> Measurement:
    return Measurement(value, value - half, value + half)
