"""The workbench: everything that a study needs to make models and to measure them."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from paretune.errors import UserError
from paretune.evaluators import Artifact, EvaluationContext, Measurement, Metric, SplitName, Splits
from paretune.evaluators.checking import check_splits
from paretune.evaluators.fingerprint import fingerprint
from paretune.evaluators.isolation.spool import MappedSplits, Spool
from paretune.evaluators.isolation.suite import IsolatedSuite
from paretune.evaluators.loading import as_splits, load_splits
from paretune.evaluators.part import Part
from paretune.evaluators.suite import EvaluatorSuite, unknown_metric
from paretune.importing import call_object
from paretune.plugins import load_plugin
from paretune.search.backends import Backend, Prepared
from paretune.search.config import Config
from paretune.search.environment import environment
from paretune.search.identity import identity
from paretune.search.info import StudyInfo
from paretune.search.landmark import reference
from paretune.search.model import resolve_model
from paretune.search.profiling.profile import read_profile
from paretune.search.rehearsal import BACKENDS, rehearse
from paretune.search.trial import Trial
from paretune.spaces import Capabilities, Policy, Space, build_space

LOG = "evaluators.log"
"""File in the study's folder for what evaluators print, and for their tracebacks."""


def everything(metric: Metric) -> bool:
    """Any metric."""
    return True


class Workbench:
    """A prepared model, its space, the data and the evaluators. A context manager.

    Attributes:
        config: what was asked for.
        model: the file that was prepared.
        prepared: the model, ready for any policy.
        space: what may be done to it.
        splits: the data.
        suite: measures artifacts, in a process of its own.
        info: what a study of it is about.
    """

    def __init__(
        self,
        config: Config,
        model: Path,
        prepared: Prepared,
        space: Space,
        splits: Splits,
        suite: IsolatedSuite,
        info: StudyInfo,
        stack: ExitStack,
    ) -> None:
        """Use `Workbench.open`."""
        self.config = config
        self.model = model
        self.prepared = prepared
        self.space = space
        self.splits = splits
        self.suite = suite
        self.info = info
        self._stack = stack

    @staticmethod
    def open(
        config: Config,
        data: Any = None,
        *,
        first: bool = False,
        only: Callable[[Metric], bool] = everything,
    ) -> "Workbench":
        """Load and prepare all that `config` names; the cheap checks come first.

        Args:
            data: splits, or a function that returns them, instead of `config.data`.
            first: take the model that the study began with, also if its source has changed since.
            only: which of the wanted metrics this workbench measures. It connects to the devices
                that they need.

        Raises:
            UserError: something in the config, the model or the data is unusable.
        """
        metrics = declared_metrics(config)
        with ExitStack() as stack:
            config.output.mkdir(parents=True, exist_ok=True)
            spool = stack.enter_context(Spool(config.output))
            # From here on the data is in memory once, for all processes.
            splits = spool.keep(load_data(config, data))
            model = resolve_model(config.model, config.base, config.output / "cache", first=first)
            prepared, space = prepare(config, splits, model=model, known=first)
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
            suite = stack.enter_context(_suite(config, prepared, splits, filter(only, wanted)))
            return Workbench(config, model, prepared, space, splits, suite, info, stack.pop_all())

    @property
    def identity(self) -> Mapping[str, str]:
        """What must be equal for a study to be resumed."""
        return self.info.identity

    def another_suite(self, only: Callable[[Metric], bool]) -> IsolatedSuite:
        """Evaluators of these metrics in one more process; the caller closes them."""
        return _suite(self.config, self.prepared, self.splits, filter(only, self.info.metrics))

    def test_seconds(self, trial: Trial) -> float:
        """How long measuring a trial on the test split may take, by what it took on `search`."""
        search, test = (
            sum(batch.size for batch in split) for split in (self.splits.search, self.splits.test)
        )
        others = {*self._on_devices, "apply", "total"}
        answers = sum(taken for name, taken in trial.seconds.items() if name not in others)
        return trial.duration + answers * max(0.0, test / search - 1)

    @cached_property
    def _on_devices(self) -> Set[str]:
        return EvaluatorSuite.on_devices(
            self.config.configured_evaluators, self.config.device_specs
        )

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
            CandidateError: it broke what measured it, or went beyond a limit.
            TransientError: try again.
        """
        return self.suite.measure(artifact, split)

    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        """As `measure`, but only the metrics of these names; `sampled` ones on a part, if given."""
        return self.suite.measure(artifact, split, metrics, part)

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        """Nothing: it measures one artifact at a time."""

    def expect(self, trials: Sequence[Trial]) -> None:
        """Base the default time limit on what the uncompressed model took in earlier trials."""
        if (fp32 := reference(trials)) is not None:
            self.suite.expect(fp32.duration)

    def close(self) -> None:
        """End the evaluators and remove the files that the data is mapped from."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def needs_no_device(metric: Metric) -> bool:
    """A metric of the answers or of the file."""
    return not metric.per_device


def _suite(
    config: Config, prepared: Prepared, splits: Splits, metrics: Iterable[Metric]
) -> IsolatedSuite:
    return IsolatedSuite.create(
        config.configured_evaluators,
        [metric.name for metric in metrics],
        EvaluationContext(prepared.reference, splits),
        config.device_specs,
        log=config.output / LOG,
        seconds=config.limits.seconds,
        memory=config.limits.memory,
    )


def declared_metrics(config: Config) -> dict[str, Metric]:
    """Name to metric, of all that the installed evaluators can measure as configured.

    Raises:
        UserError: an evaluator or one of its options is unknown, or so is a metric of the config.
    """
    metrics = EvaluatorSuite.declare(config.configured_evaluators, config.device_specs)
    for place, names in (
        ("objectives", config.objectives),
        ("constraints", tuple(constraint.metric for constraint in config.constraints)),
        ("metrics", config.metrics),
    ):
        for name in names:
            if name not in metrics:
                raise UserError(f"{place}: {unknown_metric(name, metrics)}")
    return metrics


def load_data(config: Config, data: Any = None) -> Splits:
    """The data in order, not checked against the model yet.

    Args:
        data: as for `Workbench.open`.

    Raises:
        UserError: there is no such function, it raises, or returns something else.
    """
    if data is None:
        return load_splits(config.data)
    if isinstance(data, MappedSplits):
        # Another workbench has put them in order.
        return data
    return as_splits(call_object("data", data) if callable(data) else data)


def prepare(
    config: Config, splits: Splits, *, model: Path | None = None, known: bool = False
) -> tuple[Prepared, Space]:
    """The prepared model and its space; all but the evaluators of a workbench.

    Args:
        model: the file that `config.model` stands for, where it is known.
        known: a study has been made of it, so it will do this process no harm.

    Raises:
        UserError: something in the config, the model or the data is unusable.
    """
    metrics = declared_metrics(config)
    backend = load_backend(config)
    cache = config.output / "cache"
    path = model or resolve_model(config.model, config.base, cache)
    check_splits(splits, path, backend.input_types(config.backend.options))
    if not known:
        rehearse(config.backend.type, path, splits, cache, config.backend.options)
    prepared = backend.prepare(path, splits.calibration, cache, config.backend.options)
    space = build_space(
        prepared.layers,
        prepared.groups,
        _capabilities(config, prepared),
        config.space.precision,
        config.space.sparsity,
        config.space.rules,
        # What only makes the file smaller is worth trying only if the search is after a size.
        storage=any(metrics[name].unit == "bytes" for name in config.sought),
        grain=config.space.grain,
        blocks=prepared.blocks,
    )
    return prepared, space


def _capabilities(config: Config, prepared: Prepared) -> Capabilities:
    """What the devices do natively: as their profiles say, else as the backend knows.

    What the backend does not build now is left out, though it did when a profile was made.
    """
    if config.devices is None:
        return prepared.capabilities
    return Capabilities.any_of(
        [
            read_profile(config.base / device.profile).capabilities.within(prepared.capabilities)
            if device.profile
            else prepared.capabilities
            for device in config.devices.values()
        ]
    )


def load_backend(config: Config) -> Backend:
    """The backend that the config names.

    Raises:
        UserError: there is no such one.
    """
    factory: Callable[[], Backend] = load_plugin(BACKENDS, config.backend.type)
    return factory()
