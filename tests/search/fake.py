"""A bench without models: figures are a function of the policy, exact and instantaneous."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

from paretune.evaluators import Artifact, Measurement, Metric, SplitName
from paretune.evaluators.part import Part
from paretune.search.constraint import Constraint
from paretune.search.info import StudyInfo
from paretune.spaces import (
    ONNXRUNTIME_CPU,
    Channel,
    ChannelGroup,
    Layer,
    Policy,
    Precision,
    Space,
    Sparsity,
    build_space,
)

ACCURACY = Metric("accuracy", "", "maximize", "top-1 accuracy")
LATENCY = Metric("latency_ms", "ms", "minimize", "median latency")
SIZE = Metric("size_bytes", "bytes", "minimize", "size of the file")

_COST = {"fp32": 1.0, "fp16": 1.0, "int8": 0.4, "int8-dynamic": 0.6, "w8": 0.9, "w4": 1.2}
_LOSS = {"fp32": 0.0, "fp16": 0.001, "int8": 0.01, "int8-dynamic": 0.008, "w8": 0.004, "w4": 0.05}


def make_space(
    layers: int = 4,
    *,
    precision: tuple[Precision, ...] = (Precision.INT8, Precision.W4),
    sparsity: tuple[Sparsity, ...] = (Channel(0.25), Channel(0.5)),
    grouped: bool = True,
) -> Space:
    """Gemm layers of 32 channels, the first two of which are tied."""
    names = [f"layer{i}" for i in range(layers)]
    groups = [ChannelGroup(names[0], tuple(names[:2]), 32)] if grouped and layers > 1 else []
    return build_space(
        [Layer(name, "Gemm", (32, 32), 1056, 1024) for name in names],
        groups,
        ONNXRUNTIME_CPU,
        precision,
        sparsity,
        grain=8,
    )


def make_info(
    constraints: tuple[Constraint, ...] = (), identity: Mapping[str, str] | None = None
) -> StudyInfo:
    return StudyInfo(
        name="fake",
        objectives=(ACCURACY, LATENCY),
        metrics=(ACCURACY, LATENCY, SIZE),
        constraints=constraints,
        config={"name": "fake", "search": {"sampler": "random"}},
        identity=identity or {"model": "m1", "data": "d1", "space": "s1"},
        environment={"python": "3"},
    )


class FakeBench:
    """Later layers cost more and lose more, so that the trade-off has many members.

    Attributes:
        trouble: is called with a policy and the split before it is measured; may raise.
        applied: policies built, in order.
        measured: (policy, split) measured, in order.
        expected: (policy, split) that were said to come next.
    """

    def __init__(
        self,
        space: Space | None = None,
        info: StudyInfo | None = None,
        trouble: Callable[[Policy, SplitName], None] = lambda policy, split: None,
    ) -> None:
        self.space = space or make_space()
        self.info = info or make_info()
        self.trouble = trouble
        self.applied: list[Policy] = []
        self.measured: list[tuple[Policy, SplitName]] = []
        self.expected: list[tuple[Policy, SplitName]] = []

    def apply(self, policy: Policy, path: Path) -> Artifact:
        self.applied.append(policy)
        content = policy.to_json().encode()
        path.write_bytes(content)
        return Artifact(path, policy, hashlib.sha256(content).hexdigest())

    def measure(
        self, artifact: Artifact, split: SplitName
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        self.trouble(artifact.policy, split)
        self.measured.append((artifact.policy, split))
        return figures(artifact.policy, split), {"fake": 0.0}

    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        found, seconds = self.measure(artifact, split)
        return {name: one for name, one in found.items() if name in metrics}, seconds

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        self.expected += [(policy, split) for policy in policies]


def figures(policy: Policy, split: SplitName = "search") -> dict[str, Measurement]:
    """What the fake bench measures of a policy."""
    cost = loss = 0.0
    for weight, (_, choice) in enumerate(policy, 1):
        removed = choice.sparsity.amount if isinstance(choice.sparsity, Channel) else 0.0
        cost += weight * _COST[choice.precision] * (1 - removed)
        loss += (_LOSS[choice.precision] + 0.1 * removed) / weight
    return {
        "accuracy": Measurement(
            0.95 - loss, 0.95 - loss - 0.01, 0.95 - loss + 0.01, conditions={"split": split}
        ),
        "latency_ms": Measurement(cost, samples={"count": 3}, conditions={"threads": 1}),
        "size_bytes": Measurement(float(len(json.dumps(policy.to_json())))),
    }
