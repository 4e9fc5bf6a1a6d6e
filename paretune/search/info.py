"""What a study is about: written once when it is created, read by everything that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.evaluators import Metric
from paretune.search.constraint import Constraint


@dataclass(frozen=True)
class StudyInfo:
    """The facts of a study that do not change while it runs.

    Attributes:
        name: of the study.
        objectives: in the order of the config.
        metrics: all metrics that its trials carry, objectives included.
        constraints: what a trial must satisfy to be on the front.
        config: the whole config with defaults filled in, JSON values.
        identity: what must be equal for a study to be resumed: `model`, `data`, `space`,
            `objectives` and so on, each to a hash or a short text.
        environment: versions, host, CPU; JSON values.
    """

    name: str
    objectives: tuple[Metric, ...]
    metrics: tuple[Metric, ...]
    constraints: tuple[Constraint, ...]
    config: Mapping[str, Any]
    identity: Mapping[str, str]
    environment: Mapping[str, Any]
