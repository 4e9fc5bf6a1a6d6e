"""The config of a study: what to compress, what to measure, where to search, for how long."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    StrictBool,
    StrictInt,
    model_serializer,
    model_validator,
)

from paretune.evaluators.devices.device import DeviceSpec
from paretune.importing import spelled
from paretune.search.cluster.address import ClusterSpec
from paretune.search.constraint import Constraint
from paretune.search.device_section import Devices
from paretune.search.storage_url import StorageUrl
from paretune.search.yaml_file import read_yaml
from paretune.spaces import Channel, LayerRule, Precision, parse_precision, parse_sparsity
from paretune.spaces import Sparsity as AnySparsity
from paretune.validation import Seconds, Size, parse_options, reading

DEFAULT_TRIALS = 200
MOST_TRIALS = 1_000_000_000
LARGEST_SEED = (1 << 31) - 1
"""With room for the number of trials that is added, below what NumPy takes."""


def _one_or_more(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must name at least one")
    if isinstance(value, list | tuple) and len(set(map(str, value))) < len(value):
        raise ValueError(f"must not repeat itself, but got {', '.join(map(str, value))}")
    return value


AsPrecision = Annotated[Precision, BeforeValidator(reading(parse_precision, Precision))]
AsSparsity = Annotated[
    AnySparsity,
    BeforeValidator(reading(parse_sparsity, AnySparsity)),
    PlainSerializer(str, return_type=str),
]
AsStorage = Annotated[StorageUrl, BeforeValidator(reading(StorageUrl.parse, StorageUrl))]
AsConstraint = Annotated[
    Constraint,
    BeforeValidator(reading(Constraint.parse, Constraint)),
    PlainSerializer(str, return_type=str),
]
AsCluster = Annotated[
    ClusterSpec,
    BeforeValidator(reading(ClusterSpec.parse, ClusterSpec)),
    PlainSerializer(str, return_type=str),
]
Names = Annotated[tuple[str, ...], AfterValidator(_one_or_more)]


class Section(BaseModel):
    """A part of the config; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class LayerChoices(Section):
    """What the layers that one pattern matches may take; None leaves it as it is."""

    precision: tuple[AsPrecision, ...] | None = None
    sparsity: tuple[AsSparsity, ...] | None = None


class SpaceSection(Section):
    """The choices on offer.

    Attributes:
        precision, sparsity: offered on every layer where the runtime can do it; `fp32` and dense
            always are.
        layers: names or `re:` patterns to narrower lists, in order; the last match wins.
        grain: removed channels leave a multiple of it; by default the runtime's.
    """

    precision: Annotated[tuple[AsPrecision, ...], AfterValidator(_one_or_more)] = Precision.USUAL
    sparsity: tuple[AsSparsity, ...] = (Channel(0.25), Channel(0.5))
    layers: Mapping[str, LayerChoices] = Field(default_factory=dict)
    grain: Annotated[StrictInt, Field(gt=0, le=1 << 20)] | None = None

    @property
    def rules(self) -> tuple[LayerRule, ...]:
        return tuple(
            LayerRule(pattern, choices.precision, choices.sparsity)
            for pattern, choices in self.layers.items()
        )


class SearchSection(Section):
    """How to search, and for how long.

    Attributes:
        sampler: its name.
        trials: how many policies the study measures in all, those of earlier runs included;
            200 if neither `trials` nor `time` is given.
        time: seconds that the study takes in all, confirming its front included.
        seed: of the sampler.
        racing: measure accuracy on growing parts of the `search` split, and stop a trial as soon as
            it is surely off the front; False measures everything in any case.
        cluster: where what needs no device is measured: `local:4` or the address of a Dask
            scheduler; None is this process, one candidate after the other.
    """

    sampler: str = "guided"
    trials: Annotated[StrictInt, Field(gt=0, le=MOST_TRIALS)] | None = None
    time: Seconds | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=LARGEST_SEED)] = 0
    racing: StrictBool = True
    cluster: AsCluster | None = None

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("trials") is None and data.get("time") is None:
            return {**data, "trials": DEFAULT_TRIALS}
        return data


class PluginSection(BaseModel):
    """An entry point's name and its options, which the plugin itself checks."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    @model_serializer(mode="plain")
    def _spelled(self) -> dict[str, Any]:
        return {"type": self.type, **spelled(self.options)}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(key, spelled(value)) for key, value in super().__repr_args__()]


class LimitsSection(Section):
    """What a candidate may cost, before it counts as failed.

    Attributes:
        seconds: that each evaluator may take for it on this host; by default 60, and 20 times what
            the uncompressed model took.
        memory: bytes that a process may allocate that runs it on this host; by default three
            quarters of what is available when the search starts.
    """

    seconds: Seconds | None = None
    memory: Size | None = None


class TrackingSection(Section):
    """The projection of the study to MLflow.

    Attributes:
        enabled: False writes nothing.
        uri: of the tracking server or database; None writes nothing.
        experiment: the MLflow experiment.
        all_trials: one child run for every trial instead of front members only.
    """

    enabled: StrictBool = True
    uri: str | None = "sqlite:///mlflow.db"
    experiment: str = "paretune"
    all_trials: StrictBool = False

    @property
    def active(self) -> bool:
        return self.enabled and self.uri is not None


class Config(Section):
    """A whole search.

    Attributes:
        name: of the study.
        model: path of an `.onnx` file, or `package.module:function`.
        data: `package.module:function`.
        objectives: metrics to search the trade-off of.
        constraints: what a trial must satisfy to be on the front.
        metrics: measured and shown, but no objectives.
        space: the choices on offer.
        search: how, and for how long.
        evaluators: options of evaluators; those not named run with their defaults.
        devices: name to where latency, memory and energy are measured; by default this host. With
            several, each has its own metrics: `latency_ms@name`.
        limits: what a candidate may cost.
        backend: which, and its options.
        tracking: to MLflow.
        storage: a PostgreSQL database that holds the study instead of its folder:
            `postgresql://user@host:port/database`. Not among the values that a study keeps.
        output: the study's folder.
    """

    name: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    data: Annotated[str, Field(min_length=1)]
    objectives: Names
    constraints: tuple[AsConstraint, ...] = ()
    metrics: tuple[str, ...] = ()
    space: SpaceSection = SpaceSection()
    search: SearchSection = SearchSection()
    evaluators: tuple[PluginSection, ...] = ()
    devices: Devices | None = None
    limits: LimitsSection = LimitsSection()
    backend: PluginSection = PluginSection(type="onnx")
    tracking: TrackingSection = TrackingSection()
    storage: AsStorage | None = Field(default=None, exclude=True)
    output: Path
    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "output" not in data:
            return {**data, "output": Path("runs") / str(data.get("name"))}
        return data

    @property
    def base(self) -> Path:
        """The folder that relative paths of models are relative to."""
        return self._base

    @property
    def sought(self) -> tuple[str, ...]:
        """Names of the metrics that decide: objectives and constrained ones."""
        constrained = (constraint.metric for constraint in self.constraints)
        return tuple(dict.fromkeys((*self.objectives, *constrained)))

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of all metrics to measure: those sought, and `metrics`."""
        return tuple(dict.fromkeys((*self.sought, *self.metrics)))

    @property
    def configured_evaluators(self) -> list[dict[str, Any]]:
        """The `evaluators` section in the form that `EvaluatorSuite` takes."""
        return [{"type": section.type, "options": section.options} for section in self.evaluators]

    @property
    def device_specs(self) -> tuple[DeviceSpec, ...]:
        """The `devices` section in the form that `EvaluatorSuite` takes."""
        if self.devices is None:
            return (DeviceSpec(),)
        return tuple(section.spec(name) for name, section in self.devices.items())

    @staticmethod
    def of(data: Mapping[str, Any], base: Path, source: str) -> "Config":
        """Check a mapping.

        Args:
            data: the keys of the YAML file.
            base: the folder that relative paths of models are relative to.
            source: begins every error message: the file's name.

        Raises:
            UserError: one line a mistake.
        """
        config = parse_options(Config, data, source)
        config._base = base
        return config


def load_config(path: str | Path) -> Config:
    """Read a config, and make the code beside it and in the current folder importable.

    Raises:
        UserError: missing, not YAML, unknown keys, wrong types or spellings.
    """
    path = Path(path)
    data = read_yaml(path)
    config = Config.of({"name": path.stem, **data}, path.resolve().parent, str(path))
    make_importable(config.base)
    return config


def make_importable(*folders: Path) -> None:
    """Put folders, and the current one first, on the import path, as `python -m` does with it."""
    for folder in (*map(str, reversed(folders)), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
