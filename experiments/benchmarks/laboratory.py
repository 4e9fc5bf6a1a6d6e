"""An experiment on the bench: its model prepared in several ways, and any model file measured."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.setting import config_of
from paretune.evaluators import Artifact, EvaluationContext, EvaluatorSuite, SplitName, Splits
from paretune.search.backends import Prepared
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.config import Config
from paretune.search.model import resolve_model
from paretune.search.workbench import load_backend, load_data
from paretune.spaces import Choice, Policy


@dataclass(frozen=True)
class Laboratory:
    """One experiment.

    Attributes:
        config: its own.
        splits: its data.
        folder: for files.
    """

    config: Config
    splits: Splits
    folder: Path

    @staticmethod
    def of(name: str, folder: Path, **changes: object) -> "Laboratory":
        """An experiment by name, with changes of its config."""
        config = config_of(name, folder, **changes)
        return Laboratory(config, load_data(config), folder)

    @property
    def quality(self) -> str:
        """The metric of how right the answers are: the config's first objective."""
        return self.config.objectives[0]

    def prepare(self, **options: Any) -> OnnxPrepared:
        """The model, with the experiment's backend options changed."""
        cache = self.folder / "cache"
        path = resolve_model(self.config.model, self.config.base, cache)
        chosen = {**self.config.backend.options, **options}
        found = load_backend(self.config).prepare(path, self.splits.calibration, cache, chosen)
        assert isinstance(found, OnnxPrepared)
        return found

    def suite(self, prepared: Prepared, wanted: Sequence[str] = ()) -> EvaluatorSuite:
        """The experiment's evaluators; by default, of quality alone."""
        return EvaluatorSuite.create(
            self.config.configured_evaluators,
            wanted or [self.quality],
            EvaluationContext(prepared.reference, self.splits),
            () if not wanted else self.config.device_specs,
        )


def everywhere(prepared: Prepared, choice: Choice) -> Policy:
    """One choice on every layer that can have it; the others stay as they are."""
    table = prepared.capabilities
    return Policy.of(
        {
            layer.name: choice
            if table.of_precision(choice.precision, layer.op_type) and layer.fits(choice.sparsity)
            else Choice()
            for layer in prepared.layers
        }
    )


def measured(
    suite: EvaluatorSuite, path: Path, policy: Policy, split: SplitName = "search"
) -> Mapping[str, float]:
    """The suite's metrics of a model file."""
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    found, _ = suite.measure(Artifact(path, policy, content), split)
    return {name: measurement.value for name, measurement in found.items()}
