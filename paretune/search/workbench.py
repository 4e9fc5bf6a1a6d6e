"""The workbench: everything that a study needs to make models and to measure them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from paretune.errors import UserError
from paretune.evaluators import Artifact, EvaluationContext, Measurement, Metric, SplitName, Splits
from paretune.evaluators.checking import check_splits
from paretune.evaluators.fingerprint import fingerprint
from paretune.evaluators.loading import as_splits, load_splits
from paretune.evaluators.suite import EvaluatorSuite
from paretune.importing import call_object
from paretune.names import nearest
from paretune.plugins import load_plugin
from paretune.search.backends import Backend, Prepared
from paretune.search.config import Config
from paretune.search.environment import environment
from paretune.search.identity import identity
from paretune.search.info import StudyInfo
from paretune.search.model import resolve_model
from paretune.spaces import Policy, Space, build_space

BACKENDS = "paretune.backends"


class Workbench:
    """A prepared model, its space, the data and the evaluators. A context manager.

    Attributes:
        config: what was asked for.
        prepared: the model, ready for any policy.
        space: what may be done to it.
        splits: the data.
        suite: measures artifacts.
        info: what a study of it is about.
    """

    def __init__(
        self,
        config: Config,
        prepared: Prepared,
        space: Space,
        splits: Splits,
        suite: EvaluatorSuite,
        info: StudyInfo,
    ) -> None:
        """Use `Workbench.open`."""
        self.config = config
        self.prepared = prepared
        self.space = space
        self.splits = splits
        self.suite = suite
        self.info = info

    @staticmethod
    def open(config: Config, data: Any = None, *, first: bool = False) -> "Workbench":
        """Load and prepare all that `config` names; the cheap checks come first.

        Args:
            data: splits, or a function that returns them, instead of `config.data`.
            first: take the model that the study began with, also if its source has changed since.

        Raises:
            UserError: something in the config, the model or the data is unusable.
        """
        metrics = declared_metrics(config)
        prepared, space, splits = prepare(config, data, first=first)
        objectives = tuple(metrics[name] for name in config.objectives)
        wanted = tuple(metrics[name] for name in config.wanted)
        info = StudyInfo(
            name=config.name,
            objectives=objectives,
            metrics=wanted,
            constraints=config.constraints,
            config=config.model_dump(mode="json"),
            identity=identity(config, prepared, fingerprint(splits), space, objectives),
            environment=environment(),
        )
        context = EvaluationContext(prepared.reference, splits)
        suite = EvaluatorSuite.create(config.configured_evaluators, config.wanted, context)
        return Workbench(config, prepared, space, splits, suite, info)

    @property
    def identity(self) -> Mapping[str, str]:
        """What must be equal for a study to be resumed."""
        return self.info.identity

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """Write the artifact of a canonical `policy` to `path`.

        Raises:
            Infeasible: a choice cannot be honoured.
        """
        return self.prepared.apply(policy, path)

    def measure(
        self, artifact: Artifact, split: SplitName
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        """All wanted metrics of an artifact, and the seconds that each evaluator took.

        Raises:
            Infeasible: the artifact cannot be measured for a reason that lies in it.
            TransientError: try again.
        """
        return self.suite.measure(artifact, split)

    def close(self) -> None:
        self.suite.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def declared_metrics(config: Config) -> dict[str, Metric]:
    """Name to metric, of all that the installed evaluators can measure as configured.

    Raises:
        UserError: an evaluator or one of its options is unknown, or so is a metric of the config.
    """
    metrics = EvaluatorSuite.declare(config.configured_evaluators)
    for place, names in (
        ("objectives", config.objectives),
        ("constraints", tuple(constraint.metric for constraint in config.constraints)),
        ("metrics", config.metrics),
    ):
        for name in names:
            if name not in metrics:
                raise UserError(f"{place}: unknown metric '{name}'{nearest(name, sorted(metrics))}")
    return metrics


def prepare(
    config: Config, data: Any = None, *, first: bool = False
) -> tuple[Prepared, Space, Splits]:
    """The prepared model, its space, and the data; all but the evaluators of a workbench.

    Args:
        data, first: as for `Workbench.open`.

    Raises:
        UserError: something in the config, the model or the data is unusable.
    """
    metrics = declared_metrics(config)
    backend = load_backend(config)
    cache = config.output / "cache"
    splits = load_splits(config.data) if data is None else _splits(data)
    path = resolve_model(config.model, config.base, cache, first=first)
    check_splits(splits, path)
    prepared = backend.prepare(path, splits.calibration, cache, config.backend.options)
    space = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        config.space.precision,
        config.space.sparsity,
        config.space.rules,
        # What only makes the file smaller is worth trying only if the search is after a size.
        storage=any(metrics[name].unit == "bytes" for name in config.sought),
        grain=config.space.grain,
    )
    return prepared, space, splits


def load_backend(config: Config) -> Backend:
    """The backend that the config names.

    Raises:
        UserError: there is no such one.
    """
    factory: Callable[[], Backend] = load_plugin(BACKENDS, config.backend.type)
    return factory()


def _splits(data: Any) -> Splits:
    return as_splits(call_object("data", data) if callable(data) else data)
